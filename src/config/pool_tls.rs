//! `tls` of a pool: who its backends must be, and who we are to them.

use super::{
    model::{Authorities, Certificate, HostHeader, PoolTls, TlsVersion, Trust},
    name,
    reader::{Field, Shape, Table},
    tls,
};

pub(super) static TLS: Shape = Shape {
    name: "`tls` of [pool.NAME]",
    keys: &["ca", "name", "verify", "cert", "key", "min_tls"],
};

pub(super) fn read(field: &Field<'_>, host_header: &HostHeader) -> Option<PoolTls> {
    if !field.is_table() {
        let expected = r#"expected a table: tls = {} trusts the system's authorities, { ca = "ca.crt" } yours"#;
        return field.judge(Err(expected.to_owned()));
    }
    let table = field.table(&TLS)?;
    Some(PoolTls {
        trust: trust(&table),
        name: server_name(&table).or_else(|| host_name(host_header)),
        identity: identity(&table),
        min_version: table.word("min_tls", TlsVersion::Tls12),
        place: field.place(),
    })
}

fn trust(table: &Table<'_>) -> Trust {
    let ca = table.field("ca");
    if table.boolean("verify", true) {
        let file = ca.and_then(|field| tls::path(&field));
        return match file {
            Some((file, place)) => Trust::Authorities(Authorities { file, place }),
            None => Trust::System,
        };
    }
    if let Some(ca) = ca {
        ca.fail(
            "`ca` beside `verify = false`, which asks no authority",
            "remove `verify`, so that the backends are who they say",
        );
    }
    Trust::Anyone
}

fn server_name(table: &Table<'_>) -> Option<String> {
    let field = table.field("name")?;
    field.judge(name::server_name(field.text()?))
}

/// The host that the pool sets, without its port.
fn host_name(host_header: &HostHeader) -> Option<String> {
    let HostHeader::Set(authority) = host_header else {
        return None;
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    name::server_name(host).ok()
}

fn identity(table: &Table<'_>) -> Option<Certificate> {
    let (cert, key) = (table.field("cert"), table.field("key"));
    let lonely = match (&cert, &key) {
        (Some(cert), None) => Some((cert, "key")),
        (None, Some(key)) => Some((key, "cert")),
        (Some(_), Some(_)) | (None, None) => None,
    };
    if let Some((field, other)) = lonely {
        let help = format!("add the `{other}` that belongs to it, or remove both");
        field.fail(format!("`{}` without `{other}`", field.key), help);
    }
    let ((cert, place), (key, key_place)) = (tls::path(&cert?)?, tls::path(&key?)?);
    Some(Certificate { cert, key, default: false, place, key_place })
}
