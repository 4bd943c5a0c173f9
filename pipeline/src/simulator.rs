//! Input for a job: a city with its records, weather, storms and duty officers. The same seed gives the same input.

pub mod draw;
pub mod city;
pub mod weather;
