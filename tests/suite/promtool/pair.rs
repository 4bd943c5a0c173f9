//! A rule on a series of its own: as riskflow is told it, and as Prometheus is. docs/prometheus-mapping.md says why the two mean the
//! same.

use serde_json::{Value, json};

/// What a rule compares. Where Prometheus rounds, thresholds are drawn that no value comes near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    Last,
    Min,
    Max,
    Sum,
    Count,
    /// Of results that meet a comparison of their own.
    CountOf,
    InARow,
    Mean,
    Deviation,
    Slope,
    Rate,
    Range,
    Drop,
    Rise,
    Increase,
    Quantile,
    Silence,
}

impl Feature {
    pub const ALL: [Self; 17] = [
        Self::Last,
        Self::Min,
        Self::Max,
        Self::Sum,
        Self::Count,
        Self::CountOf,
        Self::InARow,
        Self::Mean,
        Self::Deviation,
        Self::Slope,
        Self::Rate,
        Self::Range,
        Self::Drop,
        Self::Rise,
        Self::Increase,
        Self::Quantile,
        Self::Silence,
    ];

    /// In rules of riskflow.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Count | Self::CountOf => "count",
            Self::InARow => "in_a_row",
            Self::Mean => "mean",
            Self::Deviation => "deviation",
            Self::Slope => "slope",
            Self::Rate => "rate",
            Self::Range => "range",
            Self::Drop => "drop",
            Self::Rise => "rise",
            Self::Increase => "increase",
            Self::Quantile => "quantile",
            Self::Silence => "silence",
        }
    }
}

/// A rule with one level, and the series that it watches: one place a minute, `None` where nothing came.
#[derive(Clone, Debug)]
pub struct Pair {
    pub series: Vec<Option<f64>>,
    pub feature: Feature,
    /// Minutes; of `silence` those of its threshold.
    pub window: usize,
    pub operator: &'static str,
    /// Not of `silence`.
    pub threshold: f64,
    /// Which results `count` and `in_a_row` mean.
    pub of: (&'static str, f64),
    /// Thousandths.
    pub quantile: usize,
    /// Minutes.
    pub hold: usize,
    /// Minutes.
    pub clear: usize,
}

/// How the series of a pair is called in Prometheus. It has no labels, so no result has any.
pub fn series_name(number: usize) -> String {
    format!("series_{number}")
}

/// How the rule of a pair is called, here and there.
pub fn rule_name(number: usize) -> String {
    format!("rule_{number}")
}

impl Pair {
    /// The rule as riskflow is told it.
    pub fn rule(&self, number: usize) -> Value {
        let mut when = json!({ "feature": self.feature.name(), "op": self.operator });
        if self.feature == Feature::Silence {
            when["threshold"] = json!(self.window * 60);
        } else {
            when["window"] = json!(format!("{}m", self.window));
            when["threshold"] = json!(self.threshold);
        }
        match self.feature {
            Feature::CountOf | Feature::InARow => when["of"] = json!({ "op": self.of.0, "threshold": self.of.1 }),
            Feature::Quantile => when["q"] = json!(self.quantile as f64 / 1000.0),
            Feature::Slope | Feature::Rate => when["shortest"] = json!("0s"),
            _ => {}
        }
        json!({
            "id": rule_name(number), "version": 1, "pane": "1m", "select": { "observed_property": series_name(number) },
            "levels": { "red": {
                "when": when, "hold": format!("{}m", self.hold), "clear": format!("{}m", self.clear),
            } },
        })
    }

    /// The same as Prometheus is told it.
    pub fn alert(&self, number: usize) -> Value {
        alert(number, &self.expression(number), self.hold, self.clear)
    }

    /// The condition in PromQL, which yields something while it holds.
    fn expression(&self, number: usize) -> String {
        let (name, window) = (series_name(number), self.window);
        // Up to now and as long ago as that, without what is just as old: on the grid of minutes a second is as good as nothing.
        let within = |minutes: usize| format!("{}s", minutes * 60 - 1);
        let over = |function: &str| format!("{function}_over_time({name}[{}])", within(window));
        // Of each minute its own result, not an earlier one.
        let meeting = |minutes: usize| {
            let (operator, threshold) = self.of;
            let each = format!("last_over_time({name}[1s]) {operator} {threshold}");
            format!("(count_over_time(({each})[{}:1m]) or vector(0))", within(minutes))
        };
        let value = match self.feature {
            // What a bare series stands for.
            Feature::Last if window == 5 => name,
            Feature::Last => over("last"),
            Feature::Min => over("min"),
            Feature::Max => over("max"),
            Feature::Sum => over("sum"),
            Feature::Count => format!("({} or vector(0))", over("count")),
            Feature::CountOf => meeting(window),
            // N of the newest N.
            Feature::InARow => {
                let beyond = matches!(self.operator, ">" | "<=");
                meeting(self.threshold as usize + usize::from(beyond))
            }
            Feature::Mean => over("avg"),
            Feature::Deviation => over("stddev"),
            Feature::Slope => format!("deriv({name}[{}]) * 3600", within(window)),
            // What `delta` adds up to the window's ends is divided out again.
            Feature::Rate => format!("delta({name}[{}]) / {} * 3600", within(window), window * 60 - 1),
            Feature::Range => format!("({} - {})", over("max"), over("min")),
            Feature::Drop => format!("({} - {})", over("max"), over("last")),
            Feature::Rise => format!("({} - {})", over("last"), over("min")),
            // From the result before the window on; again without what is added up to the end.
            Feature::Increase => {
                let seconds = window * 60;
                format!("increase({name}[{}s]) * {seconds} / {}", seconds + 1, seconds + 1)
            }
            Feature::Quantile => {
                let quantile = self.quantile as f64 / 1000.0;
                format!("quantile_over_time({quantile}, {name}[{}])", within(window))
            }
            Feature::Silence if self.operator == ">=" => return over("absent"),
            Feature::Silence => return over("present"),
        };
        format!("{value} {} {}", self.operator, self.threshold)
    }

    /// What Prometheus is told of the series.
    pub fn input_series(&self, number: usize) -> Value {
        json!({ "series": series_name(number), "values": self.values().join(" ") })
    }

    /// The results as they are written there, minute by minute.
    pub fn values(&self) -> Vec<String> {
        let shown = |result: &Option<f64>| result.map_or_else(|| "_".to_owned(), |result| result.to_string());
        self.series.iter().map(shown).collect()
    }
}

/// An alerting rule; `for` and `keep_firing_for` in minutes.
pub fn alert(number: usize, expression: &str, hold: usize, clear: usize) -> Value {
    json!({
        "alert": rule_name(number), "expr": expression, "for": format!("{hold}m"), "keep_firing_for": format!("{clear}m"),
    })
}
