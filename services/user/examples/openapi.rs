//! Prints the OpenAPI document, for `services/user/openapi.json`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let document = user::openapi()?;
    std::io::stdout().write_all(document.as_bytes())
}
