//! What is computed of a series, over which window.

use std::fmt;

use riskflow_model::duration;
use riskflow_model::observation::Reading;

use crate::unit::Conversion;

/// What is computed over which window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Feature {
    /// What.
    pub kind: FeatureKind,
    /// The window in milliseconds; of a forecast the time ahead; 0 where it has none, or is one of the calendar.
    pub window: i64,
    /// The window, where it is an hour or a day of the calendar.
    pub calendar: Option<Calendar>,
    /// Of `rate`, `slope` and `projected`: how far apart the first and the last observation are at least, milliseconds.
    pub shortest: i64,
    /// Of `projected`: how far ahead, milliseconds.
    pub ahead: i64,
    /// Of `quantile`: which, in thousandths.
    pub quantile: u16,
    /// Of `count` and `in_a_row`: the position of the comparison that a result must meet; `None` for all.
    pub of: Option<usize>,
    /// Of a gauge: its position in [`Checked::gauges`](super::Checked::gauges).
    pub gauge: Option<usize>,
}

/// An hour or a day of the city's calendar, up to now, or one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Calendar {
    /// How long it is.
    pub unit: CalendarUnit,
    /// Of a day: when it begins, in milliseconds after midnight.
    pub from: i64,
    /// How many before the present one.
    pub ago: u16,
}

/// How long a window of the calendar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CalendarUnit {
    /// From full hour to full hour.
    Hour,
    /// From one time of the day to the same of the next day.
    Day,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeatureKind {
    /// The result of the last observation.
    Last,
    /// The least result.
    Min,
    /// The greatest result.
    Max,
    /// The sum in thousandths, divided by 1000 times the count.
    Mean,
    /// The sum in thousandths, divided by 1000.
    Sum,
    /// How many; 0 when there is none.
    Count,
    /// (last − first) per hour between them; unknown with fewer than two, or where they are not far enough apart.
    Rate,
    /// Seconds since the last observation; unknown before the first.
    Silence,
    /// The greatest less the least result.
    Range,
    /// The greatest less the last result.
    Drop,
    /// The last less the least result.
    Rise,
    /// The standard deviation of the results, of the population.
    Deviation,
    /// The least result that at least the given part of the results do not surpass.
    Quantile,
    /// By how much a counter grew; where it fell it began anew.
    Increase,
    /// The slope of the line of least squares, per hour; unknown as a rate is.
    Slope,
    /// The last result, and what the rate makes of it in the time ahead; unknown as a rate is.
    Projected,
    /// How many of the newest results, one after the other, meet a comparison.
    InARow,
    /// The least of the values forecast for the time ahead.
    ForecastMin,
    /// The greatest of them.
    ForecastMax,
    /// Their mean.
    ForecastMean,
    /// Their sum.
    ForecastSum,
    /// The value of a gauge at the asset; of no series.
    Gauge,
}

/// In which unit the values of a feature are, beside that of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    /// As results are.
    Results,
    /// Results an hour.
    Hourly,
    /// A number.
    Number,
    /// Seconds.
    Seconds,
}

pub(super) const FEATURES: [(&str, FeatureKind); 21] = [
    ("last", FeatureKind::Last),
    ("min", FeatureKind::Min),
    ("max", FeatureKind::Max),
    ("mean", FeatureKind::Mean),
    ("sum", FeatureKind::Sum),
    ("count", FeatureKind::Count),
    ("rate", FeatureKind::Rate),
    ("silence", FeatureKind::Silence),
    ("range", FeatureKind::Range),
    ("drop", FeatureKind::Drop),
    ("rise", FeatureKind::Rise),
    ("deviation", FeatureKind::Deviation),
    ("quantile", FeatureKind::Quantile),
    ("increase", FeatureKind::Increase),
    ("slope", FeatureKind::Slope),
    ("projected", FeatureKind::Projected),
    ("in_a_row", FeatureKind::InARow),
    ("forecast_min", FeatureKind::ForecastMin),
    ("forecast_max", FeatureKind::ForecastMax),
    ("forecast_mean", FeatureKind::ForecastMean),
    ("forecast_sum", FeatureKind::ForecastSum),
];

/// What is beyond all values of what adds up or is a difference, in thousandths.
const FAR: i64 = 1_000_000_000_000_000;

impl FeatureKind {
    /// The name in rules.
    #[must_use]
    pub fn name(self) -> &'static str {
        if self == Self::Gauge {
            // No rule calls a feature so.
            return "gauge";
        }
        let found = FEATURES.iter().find(|(_, kind)| *kind == self);
        found.map(|(name, _)| *name).expect("every kind has a name")
    }

    /// What of a conversion of numbers applies to a feature of them. A difference, and what is added up, has no zero of its own; counts
    /// and silences are in no unit of the datastream.
    #[must_use]
    pub const fn converted(self, by: Conversion) -> Conversion {
        match self {
            Self::Last
            | Self::Min
            | Self::Max
            | Self::Mean
            | Self::Quantile
            | Self::Projected
            | Self::ForecastMin
            | Self::ForecastMax
            | Self::ForecastMean => by,
            Self::Sum
            | Self::Rate
            | Self::Range
            | Self::Drop
            | Self::Rise
            | Self::Deviation
            | Self::Increase
            | Self::Slope
            | Self::ForecastSum => Conversion { shift: 0, ..by },
            Self::Count | Self::Silence | Self::InARow | Self::Gauge => Conversion::SAME,
        }
    }

    /// Whether results are added up, which makes no sense where their zero is not nought.
    #[must_use]
    pub const fn adds_up(self) -> bool {
        matches!(self, Self::Sum | Self::Increase | Self::ForecastSum)
    }

    /// Whether it is computed of forecasts.
    #[must_use]
    pub const fn is_forecast(self) -> bool {
        matches!(
            self,
            Self::ForecastMin | Self::ForecastMax | Self::ForecastMean | Self::ForecastSum
        )
    }

    /// Whether a window without observations has a value: a number of them, and of what reports on events also what adds up.
    #[must_use]
    pub const fn has_nothing(self, on_event: bool) -> bool {
        match self {
            Self::Count | Self::InARow => true,
            Self::Sum | Self::Increase => on_event,
            _ => false,
        }
    }

    /// In which unit its values are.
    pub(super) const fn dimension(self) -> Dimension {
        match self {
            Self::Rate | Self::Slope => Dimension::Hourly,
            Self::Count | Self::InARow | Self::Gauge => Dimension::Number,
            Self::Silence => Dimension::Seconds,
            _ => Dimension::Results,
        }
    }

    /// The least and the greatest threshold that makes sense, in thousandths: no value lies beyond.
    #[must_use]
    pub const fn range(self) -> (i64, i64) {
        const LIMIT: i64 = Reading::LIMIT as i64 * 1_000;
        match self {
            Self::Last
            | Self::Min
            | Self::Max
            | Self::Mean
            | Self::Quantile
            | Self::ForecastMin
            | Self::ForecastMax
            | Self::ForecastMean => (-LIMIT, LIMIT),
            Self::Sum | Self::Rate | Self::Slope | Self::Projected | Self::ForecastSum | Self::Gauge => (-FAR, FAR),
            Self::Range | Self::Drop | Self::Rise => (0, 2 * LIMIT),
            Self::Increase => (0, FAR),
            Self::Count | Self::Silence | Self::Deviation | Self::InARow => (0, LIMIT),
        }
    }

    /// Whether its values are negative only where results are.
    pub(super) const fn follows_results(self) -> bool {
        matches!(
            self,
            Self::Last
                | Self::Min
                | Self::Max
                | Self::Mean
                | Self::Sum
                | Self::Quantile
                | Self::ForecastMin
                | Self::ForecastMax
                | Self::ForecastMean
                | Self::ForecastSum
                | Self::Gauge
        )
    }
}

impl Feature {
    /// One of a kind over a window, with nothing else.
    #[must_use]
    pub const fn new(kind: FeatureKind, window: i64) -> Self {
        Self {
            kind,
            window,
            calendar: None,
            shortest: 0,
            ahead: 0,
            quantile: 0,
            of: None,
            gauge: None,
        }
    }

    /// Whether it looks at the observations of a window that ends now.
    #[must_use]
    pub const fn follows(&self) -> bool {
        let ago = match self.calendar {
            Some(calendar) => calendar.ago,
            None => 0,
        };
        ago == 0 && !matches!(self.kind, FeatureKind::Silence | FeatureKind::Gauge) && !self.kind.is_forecast()
    }

    /// How far back the observations lie that it looks at, at most, milliseconds.
    #[must_use]
    pub const fn reach(&self) -> i64 {
        match (self.calendar, self.kind) {
            (Some(calendar), _) => (calendar.ago as i64 + 1) * calendar.unit.longest(),
            (None, kind) if kind.is_forecast() => 0,
            // What it grew since the observation before the window counts, if that is near.
            (None, FeatureKind::Increase) => 2 * self.window,
            (None, FeatureKind::Silence) => 0,
            (None, _) => self.window,
        }
    }
}

impl CalendarUnit {
    /// How long it is but for days on which clocks are changed, in milliseconds.
    pub(super) const fn usual(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 24 * 3_600_000,
        }
    }

    /// How long it is at most, in milliseconds: clocks are put back by up to two hours.
    const fn longest(self) -> i64 {
        match self {
            Self::Hour => 2 * 3_600_000,
            Self::Day => 26 * 3_600_000,
        }
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            CalendarUnit::Hour => f.write_str("hour")?,
            CalendarUnit::Day if self.from == 0 => f.write_str("day")?,
            CalendarUnit::Day => {
                let minutes = self.from / 60_000;
                write!(f, "day from {:02}:{:02}", minutes / 60, minutes % 60)?;
            }
        }
        match self.ago {
            0 => Ok(()),
            ago => write!(f, " ago {ago}"),
        }
    }
}

/// As people read it; what a reading must meet is not told.
impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FeatureKind::Quantile => write!(f, "quantile {}", f64::from(self.quantile) / 1000.0)?,
            FeatureKind::ForecastMin
            | FeatureKind::ForecastMax
            | FeatureKind::ForecastMean
            | FeatureKind::ForecastSum => f.write_str(&self.kind.name().replace('_', " "))?,
            kind => f.write_str(kind.name())?,
        }
        match (self.kind, self.calendar) {
            (FeatureKind::Silence | FeatureKind::Gauge, _) => Ok(()),
            (_, Some(calendar)) => write!(f, " {calendar}"),
            (_, None) => write!(f, " {}", duration::show(self.window)),
        }?;
        match self.kind {
            FeatureKind::Projected => write!(f, " ahead {}", duration::show(self.ahead)),
            _ => Ok(()),
        }
    }
}

/// The unit of a feature of results in a unit, for people.
#[must_use]
pub fn unit_of_feature(kind: FeatureKind, unit: &str) -> String {
    match kind.dimension() {
        Dimension::Seconds | Dimension::Number => String::new(),
        _ if unit.is_empty() => String::new(),
        Dimension::Hourly if unit.contains('/') => format!("({unit})/h"),
        Dimension::Hourly => format!("{unit}/h"),
        Dimension::Results => unit.to_owned(),
    }
}
