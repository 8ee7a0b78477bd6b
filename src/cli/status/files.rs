//! The files of `equipoise status`: which directories, how often they were asked, what is kept of them.

use super::columns;
use crate::{control::protocol::FilesStatus, units::size_text};

const HEAD: [&str; 7] = ["files", "root", "requests", "hits", "misses", "in memory", "open"];

/// Nothing where there are none.
pub(super) fn table(files: &[FilesStatus]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let rows = std::iter::once(HEAD.map(str::to_owned)).chain(files.iter().map(row));
    format!("\nfiles\n{}", columns(rows))
}

fn row(files: &FilesStatus) -> [String; 7] {
    [
        files.name.clone(),
        files.root.clone(),
        files.requests.to_string(),
        files.hits.to_string(),
        files.misses.to_string(),
        size_text(files.kept_bytes),
        files.open.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_is_served_and_kept() {
        let files = FilesStatus {
            name: "site".to_owned(),
            root: "/srv/www/example".to_owned(),
            requests: 1234,
            hits: 1200,
            misses: 34,
            kept_bytes: 2 << 20,
            open: 3,
        };
        let expected = "
files
  files  root              requests  hits  misses  in memory  open
  site   /srv/www/example  1234      1200  34      2MiB       3
";
        assert_eq!(table(&[files]), expected);
        assert_eq!(table(&[]), "");
    }
}
