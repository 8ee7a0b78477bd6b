//! FastCGI 1.0 to servers that run scripts, such as php-fpm.
//!
//! The story is in `serve` (which script, its body, then as to any other pool), `there` (whether the
//! script is a file), `upstream` (the connection) and `after` (what follows an answer). What decides is
//! pure: `script` (from a path to a script), `params` (what it is told), `record` (the framing), `head`
//! (how its answer begins). `stderr` is what it says besides.

pub mod after;
pub mod head;
pub mod params;
pub mod record;
pub mod script;
pub mod serve;
pub mod stderr;
pub mod there;
pub mod upstream;
