//! The files of error pages: read at a start or a reload, and by `check`.

use std::{
    io::{self, Read},
    path::Path,
};

use crate::{
    config::{Config, ErrorPage, Place, file},
    http::error_pages::{Page, Pages},
};

/// A larger file is no error page: each error would send it.
const LARGEST_PAGE: u64 = 256 << 10;

/// Reads every page that a configuration names, by the file's path.
///
/// # Errors
/// Each file that can't be used: its place, what is wrong, and what to do.
pub fn load(config: &Config) -> Result<Pages, Vec<(Place, String, String)>> {
    let of_listeners = config.listeners.iter().flat_map(|listener| &listener.error_pages);
    let of_routes = config.routes.iter().flat_map(|route| &route.error_pages);
    let mut pages = Pages::default();
    let mut troubles = Vec::new();
    for wanted in of_listeners.chain(of_routes) {
        if pages.of(&wanted.file).is_some() {
            continue;
        }
        match read(wanted) {
            Ok(page) => pages.put(&wanted.file, page),
            Err((message, help)) => troubles.push((wanted.place, message, help)),
        }
    }
    if troubles.is_empty() { Ok(pages) } else { Err(troubles) }
}

fn read(wanted: &ErrorPage) -> Result<Page, (String, String)> {
    let file = wanted.file.display();
    let bytes = read_bounded(&wanted.file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => (
            format!("{file} does not exist"),
            "expected a file; a relative path starts at the folder of this configuration",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("{file} can't be read: permission denied"),
            "it must be readable by the service's user, and its directories open to it",
        ),
        _ => (format!("{file} can't be read: {error}"), ""),
    });
    let bytes = bytes.map_err(|(message, help)| (message, help.to_owned()))?;
    if bytes.len() as u64 > LARGEST_PAGE {
        let message = format!("{file} is too large for an error page");
        return Err((message, "expected at most 256KiB".to_owned()));
    }
    Ok(Page::new(wanted.kind, &bytes))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file::open(path)?.take(LARGEST_PAGE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config;

    #[test]
    fn every_file_that_can_not_be_used_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("good.html"), "{status}").unwrap();
        fs::write(folder.path().join("large.html"), vec![b' '; (256 << 10) + 1]).unwrap();
        fs::create_dir(folder.path().join("folder.html")).unwrap();
        let text = "[listener.web]\nbind = \"0.0.0.0:80\"\n\
            error_pages = { 502 = \"good.html\", 503 = \"large.html\" }\n\
            [[route]]\nrespond = { status = 200 }\n\
            error_pages = { 4xx = \"none.html\", 5xx = \"folder.html\", 404 = \"good.html\" }\n";
        let config = config::parse(text, &folder.path().join("e.toml")).unwrap();
        let troubles = load(&config).unwrap_err();
        let words: Vec<&str> = troubles.iter().map(|(_, message, _)| message.as_str()).collect();
        assert_eq!(words.len(), 3, "{words:?}");
        assert!(words[0].ends_with("large.html is too large for an error page"), "{words:?}");
        assert!(words[1].ends_with("none.html does not exist"), "{words:?}");
        assert!(words[2].contains("folder.html can't be read"), "{words:?}");
    }
}
