//! Meetings of processes, with others at the door.

use std::num::NonZeroUsize;

use riskflow_config::Secret;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn hosts(count: usize) -> Vec<String> {
    let free: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    free.iter()
        .map(|listener| listener.local_addr().unwrap().to_string())
        .collect()
}

fn job(prefix: &str) -> Job {
    Job::from([
        ("topics.prefix".to_owned(), prefix.to_owned()),
        ("version".to_owned(), "1".to_owned()),
    ])
}

/// Connects as soon as somebody listens.
fn stranger(host: &str) -> TcpStream {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect(host) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::yield_now();
    }
}

type Joined = std::thread::JoinHandle<Result<Option<Vec<Option<TcpStream>>>>>;

fn cluster(hosts: &[String], process: usize, secret: Option<&str>) -> ClusterSettings {
    ClusterSettings {
        workers: NonZeroUsize::MIN,
        process,
        hosts: hosts.to_vec(),
        listen: None,
        secret: secret.map(Secret::from),
    }
}

fn join(hosts: &[String], process: usize, job: Job, stop: &Arc<AtomicBool>) -> Joined {
    join_with(cluster(hosts, process, None), job, stop)
}

fn join_with(cluster: ClusterSettings, job: Job, stop: &Arc<AtomicBool>) -> Joined {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || connect(&cluster, &job, &stop))
}

fn hello(process: usize, job: Job) -> Hello {
    Hello {
        process,
        job,
        nonce: String::new(),
    }
}

/// A message as it goes over the wire.
fn message(of: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(of).unwrap();
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&json);
    bytes
}

#[test]
fn strangers_of_every_kind_end_nothing_and_the_peers_find_each_other() {
    let (hosts, stop) = (hosts(3), Arc::default());
    let first = join(&hosts, 0, job("a."), &stop);
    let mut kept = Vec::new();
    let foreign = |process, job: Job| message(&hello(process, job));
    let half = foreign(1, job("a."));
    let sayings: [&[u8]; 9] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        &1u64.to_be_bytes(),
        b"riskflow",
        b"riskflow\xff\xff\xff\xff",
        b"riskflow\0\0\0\x02{}",
        &half[..half.len() - 1],
        &foreign(7, job("a.")),
        &foreign(1, job("b.")),
    ];
    for saying in sayings {
        let mut stream = stranger(&hosts[0]);
        let _ = stream.write_all(saying);
        kept.push(stream);
    }
    // More than may be pending at once.
    kept.extend((0..100).map(|_| stranger(&hosts[0])));
    let others = [1, 2].map(|process| join(&hosts, process, job("a."), &stop));
    let mut all: Vec<Vec<Option<TcpStream>>> = vec![first.join().unwrap().unwrap().unwrap()];
    all.extend(others.map(|other| other.join().unwrap().unwrap().unwrap()));
    for (process, sockets) in all.iter_mut().enumerate() {
        let there: Vec<bool> = sockets.iter().map(Option::is_some).collect();
        assert_eq!(there, (0..3).map(|peer| peer != process).collect::<Vec<_>>());
        for socket in sockets.iter_mut().flatten() {
            socket.write_all(&[process as u8]).unwrap();
        }
    }
    // What is sent next arrives, and from the right one.
    for (process, sockets) in all.iter_mut().enumerate() {
        for (peer, socket) in sockets.iter_mut().enumerate() {
            let Some(socket) = socket else { continue };
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            assert_eq!(usize::from(byte[0]), peer, "at {process}");
        }
    }
    assert!(TcpStream::connect(&hosts[0]).is_err(), "nobody listens any more");
}

#[test]
fn a_process_of_another_job_is_refused_by_name_and_the_first_waits_on() {
    let (hosts, stop) = (hosts(2), Arc::default());
    let first = join(&hosts, 0, job("a."), &stop);
    let error = join(&hosts, 1, job("b."), &stop)
        .join()
        .unwrap()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("process 0 of the cluster") && error.contains("another `topics.prefix`"),
        "{error}"
    );
    let second = join(&hosts, 1, job("a."), &stop);
    // Held: one that is gone again is waited for.
    let (first, second) = (first.join().unwrap().unwrap(), second.join().unwrap().unwrap());
    assert!(first.is_some() && second.is_some());
}

#[test]
fn one_that_goes_away_before_the_cluster_is_complete_may_come_again() {
    let (hosts, stop, gone) = (hosts(3), Arc::default(), Arc::new(AtomicBool::new(true)));
    let first = join(&hosts, 0, job("a."), &stop);
    // It gets its welcome, and leaves: asked to stop, since the third is not there.
    let mut stream = stranger(&hosts[0]);
    send(&mut stream, &hello(1, job("a."))).unwrap();
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).unwrap();
    drop(stream);
    assert!(join(&hosts, 1, job("a."), &gone).join().unwrap().unwrap().is_none());
    let others = [2, 1].map(|process| join(&hosts, process, job("a."), &stop));
    let sockets = first.join().unwrap().unwrap().unwrap();
    // All are held until all are there.
    let others = others.map(|other| other.join().unwrap().unwrap());
    assert!(others.iter().all(Option::is_some));
    assert_eq!(sockets.iter().flatten().count(), 2);
}

/// What somebody says who has heard a whole handshake, but does not know the secret; what it is answered after its hello.
fn tried(host: &str, hello: &Hello, proof: &str) -> Answer {
    let mut stream = stranger(host);
    send(&mut stream, hello).unwrap();
    let first: Answer = receive(&mut stream).unwrap();
    assert!(matches!(first, Answer::Prove { .. }), "{first:?}");
    let proof = proof.to_owned();
    send(&mut stream, &Proved { proof }).unwrap();
    receive(&mut stream).unwrap()
}

#[test]
fn who_does_not_know_the_secret_does_not_join_whatever_it_says() {
    let (hosts, stop) = (hosts(2), Arc::default());
    let first = join_with(cluster(&hosts, 0, Some(SECRET)), job("a."), &stop);
    let own = Hello {
        nonce: nonce().unwrap(),
        ..hello(1, job("a."))
    };
    let key = Key::of(&Secret::from(SECRET));
    // A proof for other random bytes, one of the other side, one with another secret, and none.
    let old = key.prove(Side::Connects, &own, &nonce().unwrap());
    let wrong = Key::of(&Secret::from("another")).prove(Side::Connects, &own, "");
    for proof in [old.as_str(), wrong.as_str(), "", "zz"] {
        let answer = tried(&hosts[0], &own, proof);
        assert_eq!(answer, Answer::Refused(OTHER_SECRET.to_owned()), "{proof}");
    }
    let mut reflected = stranger(&hosts[0]);
    send(&mut reflected, &own).unwrap();
    let Answer::Prove { proof, .. } = receive(&mut reflected).unwrap() else {
        panic!("it asks for a proof")
    };
    send(&mut reflected, &Proved { proof }).unwrap();
    let answer: Answer = receive(&mut reflected).unwrap();
    assert_eq!(answer, Answer::Refused(OTHER_SECRET.to_owned()));
    // Half of a handshake, and bytes where the proof should be.
    let mut half = stranger(&hosts[0]);
    send(&mut half, &own).unwrap();
    let mut bytes = stranger(&hosts[0]);
    send(&mut bytes, &own).unwrap();
    bytes.write_all(&[0xFF; 1_000]).unwrap();

    let second = join_with(cluster(&hosts, 1, Some(SECRET)), job("a."), &stop);
    let (mut first, mut second) = (
        first.join().unwrap().unwrap().unwrap(),
        second.join().unwrap().unwrap().unwrap(),
    );
    // It is noticed where one of them is cut off.
    for socket in [&first[1], &second[0]] {
        let socket = SockRef::from(socket.as_ref().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(LOST));
        assert!(socket.keepalive().unwrap());
    }
    // What is sent next arrives.
    first[1].as_mut().unwrap().write_all(b"x").unwrap();
    let mut byte = [0];
    second[0].as_mut().unwrap().read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn a_process_with_another_secret_ends_and_the_first_waits_on() {
    let (hosts, stop) = (hosts(2), Arc::default());
    let first = join_with(cluster(&hosts, 0, Some(SECRET)), job("a."), &stop);
    let other = "another secret, as long as needed";
    let ended = join_with(cluster(&hosts, 1, Some(other)), job("a."), &stop)
        .join()
        .unwrap();
    let error = ended.unwrap_err().to_string();
    assert!(error.contains(OTHER_SECRET) && !error.contains(SECRET), "{error}");
    let second = join_with(cluster(&hosts, 1, Some(SECRET)), job("a."), &stop);
    let (first, second) = (first.join().unwrap().unwrap(), second.join().unwrap().unwrap());
    assert!(first.is_some() && second.is_some());
}

/// Who listens where process 0 should must show that it knows the secret, too.
#[test]
fn a_process_joins_nobody_that_does_not_know_the_secret() {
    let (hosts, stop) = (hosts(2), Arc::default());
    let impostor = TcpListener::bind(&hosts[0]).unwrap();
    for (answer, part) in [
        (Answer::Welcome, "does not prove"),
        (
            Answer::Prove {
                nonce: String::new(),
                proof: "00".repeat(32),
            },
            OTHER_SECRET,
        ),
    ] {
        let second = join_with(cluster(&hosts, 1, Some(SECRET)), job("a."), &stop);
        let (mut stream, _) = impostor.accept().unwrap();
        let _: Hello = receive(&mut stream).unwrap();
        send(&mut stream, &answer).unwrap();
        let error = second.join().unwrap().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn without_a_secret_only_a_private_address_is_listened_on() {
    for (address, private) in [
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("172.16.0.1", true),
        ("192.168.1.1", true),
        ("100.64.0.1", true),
        ("169.254.0.1", true),
        ("::1", true),
        ("fd00::1", true),
        ("fe80::1", true),
        ("::ffff:10.0.0.1", true),
        ("0.0.0.0", false),
        ("::", false),
        ("172.32.0.1", false),
        ("100.128.0.1", false),
        ("203.0.113.7", false),
        ("2001:db8::1", false),
        ("::ffff:203.0.113.7", false),
    ] {
        assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
    }
    let everywhere = |secret: Option<&str>| ClusterSettings {
        listen: Some("0.0.0.0:0".parse().unwrap()),
        ..cluster(&hosts(2), 0, secret)
    };
    let error = listen(&everywhere(None)).unwrap_err().to_string();
    for part in [
        "`cluster.listen` is `0.0.0.0:0`",
        "no private address",
        "`cluster.secret`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(listen(&everywhere(Some(SECRET))).is_ok());
}
