//! A Postgres behind TLS: who is trusted, and what is told where nobody is.

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::super::super::{Home, Outcome};
use super::Postgres;

fn migrate(home: &Home, url: &str) -> Outcome {
    Home::outcome(home.command().env("DATABASE_URL", url).arg("migrate"))
}

#[test]
fn tls_is_used_as_the_address_asks_for() {
    let home = Home::new();
    let folder = home.path().display().to_string();
    for (certificate, key) in [("server.crt", "server.key"), ("other.crt", "other.key")] {
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let CertifiedKey { cert, signing_key } = made;
        fs::write(home.path().join(certificate), cert.pem()).unwrap();
        fs::write(home.path().join(key), signing_key.serialize_pem()).unwrap();
    }
    let mut postgres = Postgres::start();
    let by_name = postgres.url.replace("127.0.0.1", "localhost");
    let by_address = postgres.url.clone();
    let plain = migrate(&home, &format!("{by_name}?sslmode=require"));
    assert_eq!(plain.code, Some(1));
    assert!(plain.err.contains("does not support TLS"), "{}", plain.err);
    postgres.tell(&format!("tls {folder}"));
    let trusted = format!("sslrootcert={folder}/server.crt");
    let stranger = format!("sslrootcert={folder}/other.crt");
    for (url, is_fine) in [
        (format!("{by_name}?sslmode=disable"), false),
        (by_name.clone(), true),
        (format!("{by_name}?sslmode=require"), true),
        (format!("{by_name}?sslmode=verify-full&{trusted}"), true),
        (format!("{by_address}?sslmode=verify-ca&{trusted}"), true),
        (format!("{by_address}?sslmode=verify-full&{trusted}"), false),
        (format!("{by_name}?sslmode=verify-full&{stranger}"), false),
        (format!("{by_name}?sslmode=verify-full"), false),
        (
            format!("{by_name}?sslmode=verify-full&sslrootcert=/nothing"),
            false,
        ),
        (format!("{by_name}?sslmode=maybe"), false),
    ] {
        let outcome = migrate(&home, &url);
        assert_eq!(outcome.code == Some(0), is_fine, "{url}: {}", outcome.err);
        assert!(
            outcome.err.contains("error: ") != is_fine,
            "{url}: {}",
            outcome.err
        );
        println!("{url}: {}", outcome.err.trim());
    }
    postgres.end();
}
