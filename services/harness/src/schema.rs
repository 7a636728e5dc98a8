//! Holds a schema together that stands in two dialects: what SQLite and PostgreSQL made of it is read
//! from the engines, not from the text, and compared line by line.
//!
//! What is compared: tables, columns in their order with type and nullability, keys, what is unique,
//! indexes, and what refers to what. Where a column is in an index PostgreSQL has to compare its text
//! byte by byte (`COLLATE "C"`), as SQLite does: else the two would sort differently. What is not:
//! defaults, checks, and the conditions of partial indexes beyond that there is one.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, query_scalar};

use crate::Error;

/// What a database looks like, in lines that are the same for both engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(BTreeSet<String>);

impl Shape {
    /// The shape of a SQLite file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn of_sqlite(path: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let mut lines = BTreeSet::new();
        for text in SQLITE {
            lines.extend(query_scalar::<_, String>(text).fetch_all(&mut connection).await?);
        }
        connection.close().await?;
        Ok(Self(lines))
    }

    /// The shape of `schema` in the database at `url`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn of_postgres(url: &str, schema: &str) -> Result<Self, sqlx::Error> {
        let mut connection = PgConnection::connect(url).await?;
        let mut lines = BTreeSet::new();
        for text in POSTGRES {
            let query = query_scalar::<_, String>(text).bind(schema);
            lines.extend(query.fetch_all(&mut connection).await?);
        }
        connection.close().await?;
        Ok(Self(lines))
    }
}

/// Checks that both engines made the same of a schema, and that they made anything.
///
/// # Panics
/// When they did not, with the lines that one of them has alone.
pub fn assert_alike(sqlite: &Shape, postgres: &Shape) {
    assert_alike_but_for(sqlite, postgres, &[]);
}

/// Checks that both engines made the same of a schema, but for the lines of `known`, as the message of
/// this check words them.
///
/// # Panics
/// When there are other differences, or not all of these.
pub fn assert_alike_but_for(sqlite: &Shape, postgres: &Shape, known: &[&str]) {
    let alone = |one: &Shape, other: &Shape, engine: &str| {
        let lines = one.0.difference(&other.0).map(|line| format!("{engine} alone: {line}"));
        lines.collect::<BTreeSet<_>>()
    };
    let mut differences = alone(sqlite, postgres, "SQLite");
    differences.extend(alone(postgres, sqlite, "PostgreSQL"));
    let known: BTreeSet<_> = known.iter().map(|&line| line.to_owned()).collect();
    let wrong: Vec<_> = differences.symmetric_difference(&known).cloned().collect();
    assert!(wrong.is_empty(), "the engines keep different things:\n  {}", wrong.join("\n  "));
    assert!(!sqlite.0.is_empty(), "there are no tables");
}

/// Checks that `migrations` has the same files for both engines, in its folders `sqlite` and
/// `postgres`.
///
/// # Errors
/// When a folder cannot be read.
///
/// # Panics
/// When they differ.
pub fn assert_same_steps(migrations: &Path) -> Result<(), Error> {
    let names = |engine: &str| {
        let folder = migrations.join(engine);
        let fault = |source| Error::Path { path: folder.clone(), source };
        let entries = std::fs::read_dir(&folder).map_err(fault)?;
        let names = entries.map(|entry| Ok(entry.map_err(fault)?.file_name()));
        names.collect::<Result<BTreeSet<_>, Error>>()
    };
    assert_eq!(names("sqlite")?, names("postgres")?, "steps in {}", migrations.display());
    Ok(())
}

const SQLITE: [&str; 4] = [
    "SELECT t.name || ': column ' || (c.cid + 1) || ' ' || c.name || ' ' || c.type
        || iif(c.\"notnull\" OR c.pk > 0, ' NOT NULL', '')
    FROM sqlite_schema t, pragma_table_info(t.name) c
    WHERE t.type = 'table' AND t.name <> '_sqlx_migrations'",
    "SELECT t.name || ': PRIMARY KEY (' || group_concat(c.name, ', ' ORDER BY c.pk) || ')'
    FROM sqlite_schema t, pragma_table_info(t.name) c
    WHERE t.type = 'table' AND t.name <> '_sqlx_migrations' AND c.pk > 0
    GROUP BY t.name",
    "SELECT t.name || iif(i.\"unique\", ': UNIQUE', ': INDEX') || iif(i.origin = 'c', ' ' || i.name, '')
        || ' (' || group_concat(
            c.name || iif(c.desc, ' DESC', '') || iif(c.coll = 'BINARY', '', ' COLLATE ' || c.coll),
            ', ' ORDER BY c.seqno) || ')' || iif(i.partial, ' in part', '')
    FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_xinfo(i.name) c
    WHERE t.type = 'table' AND t.name <> '_sqlx_migrations' AND i.origin <> 'pk' AND c.key
    GROUP BY t.name, i.name",
    "SELECT t.name || ': (' || group_concat(r.\"from\", ', ' ORDER BY r.seq) || ') REFERENCES '
        || r.\"table\" || ' (' || group_concat(r.\"to\", ', ' ORDER BY r.seq) || ') ON DELETE '
        || r.on_delete
    FROM sqlite_schema t, pragma_foreign_key_list(t.name) r
    WHERE t.type = 'table'
    GROUP BY t.name, r.id",
];

const POSTGRES: [&str; 3] = [
    "SELECT t.relname || ': column ' || row_number() OVER (PARTITION BY t.oid ORDER BY c.attnum) || ' '
        || c.attname || ' '
        || CASE format_type(c.atttypid, c.atttypmod)
            WHEN 'text' THEN 'TEXT'
            WHEN 'bigint' THEN 'INTEGER' WHEN 'boolean' THEN 'INTEGER'
            WHEN 'bytea' THEN 'BLOB' WHEN 'uuid' THEN 'BLOB'
            ELSE format_type(c.atttypid, c.atttypmod) END
        || CASE WHEN c.attnotnull THEN ' NOT NULL' ELSE '' END
    FROM pg_class t
    JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
    WHERE t.relnamespace = $1::regnamespace AND t.relkind IN ('r', 'p')
        AND NOT t.relispartition AND t.relname <> '_sqlx_migrations'",
    "SELECT t.relname
        || CASE WHEN i.indisprimary THEN ': PRIMARY KEY' WHEN i.indisunique THEN ': UNIQUE'
            ELSE ': INDEX' END
        || CASE WHEN EXISTS (SELECT FROM pg_constraint r
                WHERE r.conindid = i.indexrelid AND r.contype IN ('p', 'u'))
            THEN '' ELSE ' ' || x.relname END
        || ' (' || (
            SELECT string_agg(pg_get_indexdef(i.indexrelid, place, TRUE)
                || CASE WHEN i.indoption[place - 1] & 1 = 1 THEN ' DESC' ELSE '' END
                || COALESCE((SELECT ' COLLATE ' || collname FROM pg_collation
                    WHERE oid = i.indcollation[place - 1] AND collname <> 'C'), ''),
                ', ' ORDER BY place)
            FROM generate_series(1, i.indnkeyatts::int) AS place) || ')'
        || CASE WHEN i.indpred IS NULL THEN '' ELSE ' in part' END
    FROM pg_class t
    JOIN pg_index i ON i.indrelid = t.oid
    JOIN pg_class x ON x.oid = i.indexrelid
    WHERE t.relnamespace = $1::regnamespace AND t.relkind IN ('r', 'p')
        AND NOT t.relispartition AND t.relname <> '_sqlx_migrations'",
    "SELECT t.relname || ': (' || (
            SELECT string_agg(c.attname, ', ' ORDER BY k.place)
            FROM unnest(r.conkey) WITH ORDINALITY AS k(number, place)
            JOIN pg_attribute c ON c.attrelid = r.conrelid AND c.attnum = k.number)
        || ') REFERENCES ' || other.relname || ' (' || (
            SELECT string_agg(c.attname, ', ' ORDER BY k.place)
            FROM unnest(r.confkey) WITH ORDINALITY AS k(number, place)
            JOIN pg_attribute c ON c.attrelid = r.confrelid AND c.attnum = k.number)
        || ') ON DELETE '
        || CASE r.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT'
            WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END
    FROM pg_class t
    JOIN pg_constraint r ON r.conrelid = t.oid AND r.contype = 'f'
    JOIN pg_class other ON other.oid = r.confrelid
    WHERE t.relnamespace = $1::regnamespace",
];
