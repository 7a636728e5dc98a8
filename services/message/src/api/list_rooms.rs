//! `GET /api/rooms`.

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::LINK;
use axum::response::AppendHeaders;
use chassis::caller::{Acting, Allowed};
use chassis::json::{Json, Query};
use contract::room::Room;
use contract::scope::Scope::MessagesRead;
use serde::Deserialize;

use super::page_size;
use crate::error::{Error, invalid};
use crate::reading::{Reading, RoomSearch};
use crate::store::rooms::{Cursor, Scope};

/// Most characters of what is looked for.
const PART_CHARS_MAX: usize = 80;

/// Which rooms, and which page of them.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    mine: bool,
    q: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Public rooms and the caller's own, latest activity first; `Link` leads to the next page. Without their
/// newest messages where the caller's machine key is not for reading messages.
pub(super) async fn list_rooms(
    State(reading): State<Reading>,
    Acting(person): Acting,
    Allowed(caller): Allowed,
    uri: Uri,
    Query(asked): Query<Asked>,
) -> Result<(AppendHeaders<Option<(axum::http::HeaderName, String)>>, Json<Vec<Room>>), Error> {
    let mut page = reading.rooms(person.id, search(asked)?).await?;
    if !caller.may(MessagesRead) {
        page.rooms.iter_mut().for_each(|room| room.last_message = None);
    }
    let link = page.next.map(|next| (LINK, link(uri.query().unwrap_or(""), &next)));
    Ok((AppendHeaders(link), Json(page.rooms)))
}

fn search(asked: Asked) -> Result<RoomSearch, Error> {
    let part = asked.q.unwrap_or_default();
    if part.chars().nth(PART_CHARS_MAX).is_some() {
        return Err(invalid("q", "must be at most 80 characters"));
    }
    if part.contains('\0') {
        return Err(invalid("q", "must not contain the character NUL"));
    }
    let place = asked.cursor.map_or_else(|| Ok(Cursor::start()), |cursor| cursor.parse());
    Ok(RoomSearch {
        scope: if asked.mine { Scope::Mine } else { Scope::Visible },
        part,
        place: place.map_err(|_| invalid("cursor", "must be one that a list gave"))?,
        limit: page_size(asked.limit),
    })
}

/// The same question, further on (RFC 8288 section 3). A bare query is resolved against whatever
/// path the caller used, so that it holds behind a gateway too.
fn link(query: &str, next: &Cursor) -> String {
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let mut target = String::from("<?");
    for pair in kept {
        target.push_str(pair);
        target.push('&');
    }
    format!("{target}cursor={next}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_asks_the_same_question_further_on() {
        let next: Cursor = "17.general".parse().unwrap();
        assert_eq!(link("", &next), "<?cursor=17.general>; rel=\"next\"");
        assert_eq!(
            link("q=a%20b&cursor=9.x&mine=true", &next),
            "<?q=a%20b&mine=true&cursor=17.general>; rel=\"next\""
        );
    }
}
