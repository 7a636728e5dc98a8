//! Many accounts, put into a user service's database behind its back while it does not run.

use std::fmt::Write as _;
use std::path::Path;

use chassis::Clock;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::Outcome;

/// Rows of a statement, which is a transaction.
const BATCH: usize = 1_000;
/// Every so manieth account is an operator, a member of staff, an administrator.
const OPERATORS: usize = 500;
const STAFF: usize = 1_000;
const ADMINS: usize = 20_000;
/// The schema of the user service on a server.
const SCHEMA: &str = "hubbub_user";
/// Nobody signs in as these.
const COLUMNS: &str = "id, username, username_key, email, email_key, display_name, display_key, \
    first_name, last_name, roles, store_id, created_at, updated_at";

const FIRST: [&str; 32] = [
    "Anna", "Maria", "Jonas", "Lena", "Paul", "Emma", "Ben", "Mia", "Noah", "Sofia", "Elif",
    "Mehmet", "Olga", "Ivan", "Chloe", "Hugo", "Aisha", "Omar", "Yuki", "Haruto", "Mei", "Wei",
    "Priya", "Arjun", "Sara", "David", "Nina", "Tom", "Julia", "Max", "Eva", "Leo",
];
const LAST: [&str; 40] = [
    "Schmidt",
    "Mueller",
    "Fischer",
    "Weber",
    "Wagner",
    "Becker",
    "Hoffmann",
    "Koch",
    "Richter",
    "Klein",
    "Wolf",
    "Neumann",
    "Schwarz",
    "Braun",
    "Zimmermann",
    "Krause",
    "Lehmann",
    "Kaiser",
    "Yilmaz",
    "Kaya",
    "Demir",
    "Ivanova",
    "Petrov",
    "Martin",
    "Bernard",
    "Dubois",
    "Khan",
    "Hassan",
    "Tanaka",
    "Sato",
    "Suzuki",
    "Wang",
    "Li",
    "Zhang",
    "Sharma",
    "Patel",
    "Garcia",
    "Rossi",
    "Silva",
    "Nowak",
];

/// Puts `count` accounts into the file in `folder`, or into the database at `url`.
pub(super) async fn seed(folder: &Path, url: &str, count: usize) -> Outcome<()> {
    if url.is_empty() {
        let options = SqliteConnectOptions::new().filename(folder.join("user.db"));
        let mut connection = SqliteConnection::connect_with(&options).await?;
        for from in (0..count).step_by(BATCH) {
            let rows = AssertSqlSafe(statement(from, count.min(from + BATCH)));
            sqlx::raw_sql(rows).execute(&mut connection).await?;
        }
        return Ok(connection.close().await?);
    }
    let options: PgConnectOptions = url.parse()?;
    let options = options.options([("search_path", SCHEMA)]);
    let mut connection = PgConnection::connect_with(&options).await?;
    for from in (0..count).step_by(BATCH) {
        let rows = AssertSqlSafe(statement(from, count.min(from + BATCH)));
        sqlx::raw_sql(rows).execute(&mut connection).await?;
    }
    // As a server that has had its accounts for a day would have done by itself.
    sqlx::raw_sql("ANALYZE accounts").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Inserts the accounts from `from` to before `to`. Both engines understand it; nothing in it comes from
/// anywhere else.
fn statement(from: usize, to: usize) -> String {
    let now = Clock::System.now().0;
    let mut text = format!("INSERT INTO accounts ({COLUMNS}) VALUES ");
    for number in from..to {
        let (first, last) = names(number);
        let username = format!("{first}.{last}{number}");
        let (key, display) = (username.to_lowercase(), format!("{first} {last}"));
        let (roles, store) = standing(number);
        let comma = if number > from { "," } else { "" };
        // Writing into memory cannot fail.
        write!(
            text,
            "{comma}('{}','{username}','{key}','{key}@example.com','{key}@example.com','{display}','{}',\
             '{first}','{last}','{roles}',{store},{now},{now})",
            Uuid::now_v7(),
            display.to_lowercase(),
        )
        .ok();
    }
    text
}

fn names(number: usize) -> (&'static str, &'static str) {
    // Both lists are left at different times, so that every pair comes.
    let first = FIRST[number % FIRST.len()];
    (first, LAST[(number / FIRST.len() + number) % LAST.len()])
}

fn standing(number: usize) -> (&'static str, &'static str) {
    match number + 1 {
        n if n.is_multiple_of(ADMINS) => ("customer,admin", "NULL"),
        n if n.is_multiple_of(STAFF) => ("staff", "'store-1'"),
        n if n.is_multiple_of(OPERATORS) => ("operator", "'store-1'"),
        _ => ("customer", "NULL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_more_than_customers() {
        let more = (0..100_000).filter(|number| standing(*number).0 != "customer").count();
        assert_eq!(more, 200);
    }

    #[test]
    fn every_pair_of_names_comes() {
        let pairs: std::collections::HashSet<_> = (0..100_000).map(names).collect();
        assert_eq!(pairs.len(), FIRST.len() * LAST.len());
    }
}
