//! The kinds of assets in the city, and the sensors that they carry.

/// A kind of asset.
pub struct Kind {
    pub category: &'static str,
    pub name: &'static str,
    pub domain: &'static str,
    /// How common it is.
    pub weight: u64,
    /// People exposed to a typical one.
    pub people: u64,
    pub sensors: &'static [Sensor],
}

/// A sensor of an asset.
pub struct Sensor {
    pub property: &'static str,
    pub unit: &'static str,
    pub tag: Option<&'static str>,
    /// How many of it an asset has.
    pub copies: usize,
    /// Own thresholds: the rule, the least blue one, and the step from level to level.
    pub thresholds: Option<(&'static str, f64, f64)>,
}

const fn sensor(property: &'static str, unit: &'static str) -> Sensor {
    Sensor {
        property,
        unit,
        tag: None,
        copies: 1,
        thresholds: None,
    }
}

const fn own(property: &'static str, unit: &'static str, rule: &'static str, least: f64, step: f64) -> Sensor {
    Sensor {
        property,
        unit,
        tag: None,
        copies: 1,
        thresholds: Some((rule, least, step)),
    }
}

const fn kind(
    category: &'static str,
    name: &'static str,
    domain: &'static str,
    weight: u64,
    people: u64,
    sensors: &'static [Sensor],
) -> Kind {
    Kind {
        category,
        name,
        domain,
        weight,
        people,
        sensors,
    }
}

const NATURE: &str = "natural_hazard";
const LIFELINE: &str = "lifeline";
const WORK: &str = "work_safety";
const PUBLIC: &str = "public_safety";

const RAIN: Sensor = sensor("rainfall", "mm");
const BASIN_RAIN: Sensor = Sensor {
    tag: Some("small_basin"),
    ..RAIN
};
const GAS: Sensor = Sensor {
    copies: 3,
    ..sensor("combustible_gas", "%{LEL}")
};
const WATCHED_GAS: Sensor = Sensor {
    tag: Some("watched"),
    ..sensor("combustible_gas", "%{LEL}")
};

/// All kinds. Thresholds are simulated, as everything here.
pub const KINDS: [Kind; 18] = [
    kind("rain_gauge", "雨量站", NATURE, 10, 800, &[RAIN]),
    kind("small_basin", "小流域", NATURE, 6, 120, &[BASIN_RAIN]),
    kind(
        "river_gauge",
        "河道水位站",
        NATURE,
        7,
        600,
        &[own("river_stage", "m", "river_stage", 2.4, 0.35)],
    ),
    kind(
        "reservoir",
        "水库",
        NATURE,
        4,
        1_500,
        &[own("reservoir_level", "m", "reservoir_level", 31.0, 0.6), RAIN],
    ),
    kind(
        "tide_gauge",
        "潮位站",
        NATURE,
        3,
        900,
        &[own("tide_level", "m", "tide", 2.7, 0.35)],
    ),
    kind(
        "wind_station",
        "气象站",
        NATURE,
        7,
        500,
        &[sensor("wind_speed", "m/s"), sensor("wind_gust", "m/s")],
    ),
    kind("underpass", "下穿立交", LIFELINE, 6, 300, &[sensor("water_depth", "m")]),
    kind("manhole", "雨水井", LIFELINE, 9, 60, &[sensor("water_depth", "m")]),
    kind(
        "gas_pipeline",
        "燃气管段",
        LIFELINE,
        8,
        400,
        &[sensor("flow_imbalance", "%"), WATCHED_GAS],
    ),
    kind("bridge", "桥梁", LIFELINE, 3, 200, &[sensor("wind_speed", "m/s")]),
    kind(
        "chemical_plant",
        "化工企业",
        WORK,
        5,
        700,
        &[GAS, sensor("toxic_gas", "%{OEL}")],
    ),
    kind("oil_depot", "油库", WORK, 4, 500, &[GAS]),
    kind("quarry", "矿山", WORK, 3, 80, &[RAIN]),
    kind(
        "tailings_pond",
        "尾矿库",
        WORK,
        2,
        300,
        &[own("displacement_rate", "mm/d", "displacement", 3.0, 3.0), BASIN_RAIN],
    ),
    kind(
        "shipyard",
        "船厂",
        WORK,
        4,
        600,
        &[WATCHED_GAS, sensor("wind_gust", "m/s")],
    ),
    kind(
        "shelter",
        "避灾安置点",
        PUBLIC,
        4,
        200,
        &[sensor("crowd_density", "/m2")],
    ),
    kind(
        "ferry_terminal",
        "客运码头",
        PUBLIC,
        2,
        2_000,
        &[sensor("crowd_density", "/m2"), sensor("wind_gust", "m/s")],
    ),
    kind(
        "scenic_square",
        "景区广场",
        PUBLIC,
        3,
        3_000,
        &[sensor("crowd_density", "/m2")],
    ),
];
