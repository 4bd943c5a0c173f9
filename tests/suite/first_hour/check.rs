//! What `riskflow check` says about a configuration.

use std::process::Command;

use serde_json::json;

use super::{Desk, Said};
use crate::kafka::riskflow;

#[test]
fn check_says_ok_or_everything_that_is_wrong() {
    let desk = Desk::new();
    desk.run(&["check"]).ends(0, &["# ok: defaults, --set http.enabled"]);
    let good = desk.put("good.toml", "epoch.tick = \"10ms\"\n");
    let said = desk.run(&["check", "-c", &good]);
    said.ends(0, &["# ok: ", "good.toml"]);
    // What it prints is a configuration again.
    let printed = desk.put("printed.toml", &said.out);
    desk.run(&["check", "-c", &printed]).ends(0, &[]);

    let bad = "epoch.tik = \"1s\"\nepoch.tick = \"1h\"\n[tme]\nx = 1\n[input]\nkind = \"kafka\"\n[kafka]\nbrokers = \"kafka://foo\"\n";
    let bad = desk.put("bad.toml", bad);
    let said = desk.run(&["check", "-c", &bad, "--set", "cluster.workers=0", "--set", "nonsense"]);
    said.ends(
        2,
        &[
            "`epoch.tik` is wrong at line 1, column 7",
            "`epoch.tick` is `1h`",
            "`tme` is wrong at line 3",
            "`kafka.brokers` is `kafka://foo`",
            "`cluster.workers` is 0",
            "`--set nonsense` is without `=`",
            "bad.toml, --set cluster.workers, --set http.enabled cannot be used: 6 problems",
        ],
    );
    assert!(!said.err.contains("riskflow.toml"), "{}", said.err);

    let kafka = desk.put(
        "kafka.toml",
        "input.kind = \"kafka\"\noutput.kind = \"kafka\"\nkafka.brokers = \"a:1\"\n[kafka.properties]\n\
         \"sasl.pasword\" = \"x\"\n\"security.protocol\" = \"tls\"\n\"group.id\" = \"mine\"\n\"linger.ms\" = \"soon\"\n",
    );
    let said = desk.run(&["check", "-c", &kafka]);
    let properties = ["sasl.pasword", "security.protocol", "group.id", "linger.ms"]
        .map(|name| format!("`kafka.properties.\"{name}\"`"));
    said.ends(2, &properties.each_ref().map(String::as_str));
    desk.run(&["run", "-c", &kafka]).ends(2, &["sasl.pasword"]);
    let ca = desk.put(
        "ca.toml",
        "input.kind = \"kafka\"\nkafka.brokers = \"a:1\"\n[kafka.properties]\n\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"nowhere.pem\"\n",
    );
    desk.run(&["check", "-c", &ca])
        .ends(2, &["`kafka.properties`", "ssl.ca.location"]);

    let files = "input = { kind = \"files\", clock = \"arrival\", files = [\n{ path = \"nowhere.csv\", topic = \"in.rule\" },\n\
        { path = \".\", topic = \"in.rule\" }, { path = \"-\", topic = \"in.rule\" }] }\n";
    let files = desk.put("files.toml", files);
    let mut check = Command::new(riskflow());
    let said = Said::of(
        check
            .args(["check", "-c", &files])
            .current_dir(desk.0.path())
            .output()
            .unwrap(),
    );
    said.ends(
        2,
        &["`input.files[0].path` is `nowhere.csv`", "`input.files[1].path` is `.`"],
    );
    desk.run(&["run", "-c", &files]).ends(2, &["`input.files[0].path`"]);
    let tls = desk.put("tls.toml", "[http.tls]\ncertificate = \"no.pem\"\nkey = \"no.key\"\n");
    let said = Command::new(riskflow()).args(["check", "-c", &tls]).output().unwrap();
    Said::of(said).ends(2, &["`http.tls.certificate` is `no.pem`", "`http.tls.key` is `no.key`"]);
}

/// The same for machines: all at once, and no secret.
#[test]
fn check_says_the_same_as_json() {
    let desk = Desk::new();
    let good = desk.put(
        "good.toml",
        "epoch.tick = \"10ms\"\nkafka.properties.\"sasl.password\" = \"s3cr3t\"\n",
    );
    let said = desk.run(&["check", "--json", "-c", &good]);
    said.ends(0, &[]);
    let told = said.json();
    assert_eq!((&told["ok"], &told["problems"]), (&json!(true), &json!([])));
    assert_eq!(told["configuration"]["epoch"]["tick"], "10ms");
    assert_eq!(told["origins"]["epoch.tick"], "from the file");
    assert_eq!(told["origins"]["http.enabled"], "from --set");
    assert!(!said.out.contains("s3cr3t"), "{}", said.out);

    let bad = desk.put("bad.toml", "epoch.tik = \"1s\"\nepoch.tick = \"1h\"\n");
    let said = desk.run(&["check", "--json", "-c", &bad]);
    said.ends(2, &[]);
    let told = said.json();
    let fields: Vec<&str> = told["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["field"].as_str().unwrap())
        .collect();
    assert_eq!((&told["ok"], fields), (&json!(false), vec!["epoch.tik", "epoch.tick"]));
    let said = desk.run(&["check", "--json", "-c", "nowhere.toml"]);
    said.ends(2, &["nowhere.toml"]);
    assert_eq!(said.json()["ok"], false);
}

/// What would be passed over, and leave another setting or an empty log than somebody meant.
#[test]
fn what_would_be_passed_over_is_told() {
    let desk = Desk::new();
    let check = |variable: &str| Said::of(desk.command(&["check"]).env(variable, "10ms").output().unwrap());
    check("RISKFLOW_EPOCH__TICK").ends(2, &["`RISKFLOW_EPOCH__TICK` is set", "give `RISKFLOW__EPOCH__TICK`"]);
    check("RISKFLOW_EPOCH_TICK").ends(0, &["# ok", "RISKFLOW_EPOCH_TICK", "nothing reads them"]);
    desk.run(&["check", "--set", "log.filter=inof"])
        .ends(2, &["`log.filter` is `inof`", "did you mean `info`?"]);
    desk.run(&["check", "--set", "log.filter=riskflw=debug"])
        .ends(2, &["did you mean `riskflow`?"]);
}
