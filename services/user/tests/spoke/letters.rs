//! Reads the letters and codes that a service wrote, and everything that it logs meanwhile.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;

use crate::support::Spoke;

/// Looks at whether something is there, and the pause between two: twenty seconds.
const LOOKS_MAX: u32 = 2_000;
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `look` finds something.
pub(crate) async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{what} did not come");
}

/// A letter that became a file.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Letter {
    /// What stands in its link.
    pub(crate) fn token(&self) -> String {
        token(&self.text)
    }
}

/// What stands in the link of `text`.
pub(crate) fn token(text: &str) -> String {
    let after = text.split_once("token=").expect("the letter has a link").1;
    after.lines().next().unwrap().to_owned()
}

/// All letters so far, the oldest first.
pub(crate) fn letters(spoke: &Spoke) -> Vec<Letter> {
    let Ok(entries) = fs::read_dir(spoke.data().join("mail")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension() == Some("eml".as_ref())).collect();
    paths.sort_unstable();
    let read = |path: PathBuf| Letter { text: fs::read_to_string(&path).unwrap(), path };
    paths.into_iter().map(read).collect()
}

/// The `count`th letter with this `subject`, whenever it comes.
pub(crate) async fn letter(spoke: &Spoke, subject: &str, count: usize) -> Letter {
    let subject = format!("Subject: {subject}\r\n");
    wait_for("a letter", || {
        let letters = letters(spoke).into_iter().filter(|letter| letter.text.contains(&subject));
        letters.collect::<Vec<_>>().into_iter().nth(count - 1)
    })
    .await
}

/// The codes that were sent to `phone` so far.
pub(crate) fn codes(spoke: &Spoke, phone: &str) -> Vec<String> {
    let text = fs::read_to_string(spoke.data().join("phone-codes.txt")).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains(&format!(" {phone} ")));
    lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// The `count`th code that is sent to `phone`.
pub(crate) async fn code(spoke: &Spoke, phone: &str, count: usize) -> String {
    wait_for("a code", || codes(spoke, phone).into_iter().nth(count - 1)).await
}

/// Everything that this thread logs, while it is held.
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

struct Pen(Arc<Mutex<Vec<u8>>>);

impl io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn of_this_thread() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let pens = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || Pen(pens.clone()))
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}
