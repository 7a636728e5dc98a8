//! Service tokens: EdDSA, 60 s, each service with its own key, each callee with its own list of who
//! may do what.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::caller::ServiceClaims;
use contract::{SessionId, Timestamp, UserId};
use jsonwebtoken::{Algorithm, Header};

use super::{Config, Grant, Person, ServiceCaller};
use crate::keys::{PublicKey, SigningKey};
use crate::tokens::{BadToken, CLOCK_SKEW, alive, signed};
use crate::{Clock, Deps, Random, StartError};

/// Life of a service token.
const LIFE: Duration = Duration::from_mins(1);
/// A token is used again while it has at least this long to live.
const REST_MIN: Duration = Duration::from_secs(10);
/// How far `nbf` lies back, for callees whose clocks are behind.
const BACKDATED: Duration = Duration::from_secs(5);
/// Most tokens on behalf of users that are kept for using again.
const KEPT_MAX: usize = 4_096;

/// The services that may call this one.
#[derive(Debug)]
pub(super) struct ServiceKeys {
    me: &'static str,
    folder: PathBuf,
    grants: BTreeMap<String, Arc<BTreeSet<Grant>>>,
    /// Keys as read; one that is not there yet is looked for again.
    keys: Mutex<HashMap<String, PublicKey>>,
}

impl ServiceKeys {
    pub(super) fn new(config: &Config, me: &'static str, data: &Path) -> Self {
        let grants = config.grants.get(me).cloned().unwrap_or_default();
        Self {
            me,
            folder: config.keys_folder(data),
            grants: grants.into_iter().map(|(name, grants)| (name, Arc::new(grants))).collect(),
            keys: Mutex::default(),
        }
    }

    pub(super) fn verify(
        &self,
        token: &str,
        issuer: Option<&str>,
        now: Timestamp,
    ) -> Result<ServiceCaller, BadToken> {
        let issuer = issuer.ok_or(BadToken::Malformed)?;
        let (service, grants) = self.grants.get_key_value(issuer).ok_or(BadToken::Foreign)?;
        let key = self.key(service).and_then(|key| key.verifier());
        let claims: ServiceClaims = signed(token, &key.ok_or(BadToken::UnknownKey)?)?;
        if claims.iss != *service || claims.aud != self.me {
            return Err(BadToken::Foreign);
        }
        alive(claims.nbf, claims.exp, now)?;
        // One that claims a long life was not made by our rules.
        if claims.exp > now.plus(LIFE + CLOCK_SKEW).seconds() {
            return Err(BadToken::Foreign);
        }
        let session = claims.sid;
        let named = claims.sub.zip(claims.name);
        Ok(ServiceCaller {
            service: service.as_str().into(),
            grants: grants.clone(),
            on_behalf_of: named.map(|(id, name)| Person { id, name: name.into(), session }),
            expires_at: Timestamp(claims.exp.saturating_mul(1000)),
        })
    }

    /// The public key of `service`, one of those that were granted something.
    fn key(&self, service: &str) -> Option<PublicKey> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(service) {
            return Some(key.clone());
        }
        let pem = std::fs::read_to_string(self.folder.join(format!("{service}.pub"))).ok()?;
        let key = PublicKey::from_pem(&pem)?;
        keys.insert(service.to_owned(), key.clone());
        Some(key)
    }
}

/// Makes the service tokens of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceTokens(Arc<Maker>);

/// On whose behalf a token is: each session has its own, since the callee hears which one it is.
type Behalf = (UserId, Option<SessionId>);

/// For whom a token is: mostly a name in the code, which costs nothing to look for.
type Callee = Cow<'static, str>;

#[derive(Debug)]
struct Maker {
    me: &'static str,
    key: SigningKey,
    clock: Clock,
    random: Random,
    kept: Mutex<HashMap<(Callee, Option<Behalf>), Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    token: Arc<str>,
    expires_at: Timestamp,
    name: Option<Arc<str>>,
}

impl ServiceTokens {
    /// The tokens of the service `me`, whose key is made on the first run.
    pub fn open(me: &'static str, folder: &Path, deps: &Deps) -> Result<Self, StartError> {
        Ok(Self(Arc::new(Maker {
            me,
            key: SigningKey::load_or_make(folder, me)?,
            clock: deps.clock.clone(),
            random: deps.random.clone(),
            kept: Mutex::default(),
        })))
    }

    /// A token for calls to `callee` that name their users themselves, or need none.
    #[must_use]
    pub fn plain(&self, callee: impl Into<Cow<'static, str>>) -> Arc<str> {
        self.token(callee.into(), None)
    }

    /// A token for calls to `callee` on behalf of `person`.
    #[must_use]
    pub fn on_behalf_of(&self, callee: impl Into<Cow<'static, str>>, person: &Person) -> Arc<str> {
        self.token(callee.into(), Some(person))
    }

    fn token(&self, callee: Callee, person: Option<&Person>) -> Arc<str> {
        let maker = &*self.0;
        let now = maker.clock.now();
        let place = (callee, person.map(|person| (person.id, person.session)));
        let mut kept = maker.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(&place) {
            let same = found.name.as_ref() == person.map(|person| &person.name);
            if same && now.plus(REST_MIN) < found.expires_at {
                return found.token.clone();
            }
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let expires_at = now.plus(LIFE);
        let token: Arc<str> = maker.sign(&place.0, person, now, expires_at).into();
        let name = person.map(|person| person.name.clone());
        kept.insert(place, Kept { token: token.clone(), expires_at, name });
        token
    }
}

impl Maker {
    fn sign(
        &self,
        callee: &str,
        person: Option<&Person>,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> String {
        let claims = ServiceClaims {
            iss: self.me.to_owned(),
            aud: callee.to_owned(),
            exp: expires_at.seconds(),
            nbf: Timestamp(now.0 - i64::try_from(BACKDATED.as_millis()).unwrap_or(0)).seconds(),
            iat: now.seconds(),
            jti: self.random.uuid_v7(now).to_string(),
            sub: person.map(|person| person.id),
            name: person.map(|person| person.name.to_string()),
            sid: person.and_then(|person| person.session),
        };
        // Signing fails only for a key of another kind, which cannot have been loaded; an empty
        // token is refused like any other bad one.
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, self.key.encoding())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use contract::Kind;
    use uuid::Uuid;

    use super::*;
    use crate::Bus;
    use crate::identity::{Caller, Identity};
    use crate::revocation::Revocations;
    use crate::secret::Secret;

    struct Bench {
        _data: tempfile::TempDir,
        deps: Deps,
        config: Config,
        hands: Arc<std::sync::atomic::AtomicI64>,
    }

    fn bench() -> Bench {
        let data = tempfile::tempdir().unwrap();
        let (clock, hands) = Clock::fixed(Timestamp(1_800_000_000_000));
        let deps = Deps {
            bus: Bus::local(1),
            clock,
            random: Random::System,
            data: data.path().to_owned(),
        };
        let grants = BTreeMap::from([(
            "message".to_owned(),
            BTreeMap::from([("chat".to_owned(), BTreeSet::from([Grant::ActAs, Grant::Batch]))]),
        )]);
        let config = Config {
            issuer: "hubbub".to_owned(),
            audience: "hubbub".to_owned(),
            jwks_url: "http://127.0.0.1:1/".to_owned(),
            jwks_cooldown: Duration::from_secs(1),
            revocations_url: String::new(),
            revocations_max: 8,
            authority: "user".to_owned(),
            jwt_secret: Secret::new(String::new()),
            jwt_secret_file: PathBuf::new(),
            weak_secret_allowed: false,
            cache_entries_max: 8,
            keys_dir: PathBuf::new(),
            grants,
        };
        Bench { _data: data, deps, config, hands }
    }

    fn ada() -> Person {
        Person { id: UserId(Uuid::from_u128(7)), name: "ada".into(), session: None }
    }

    fn tokens(bench: &Bench, me: &'static str) -> ServiceTokens {
        ServiceTokens::open(me, &bench.config.keys_folder(&bench.deps.data), &bench.deps).unwrap()
    }

    fn message(bench: &Bench) -> Identity {
        let nothing = Revocations::unfollowed();
        Identity::open(&bench.config, "message", &bench.deps, nothing).unwrap()
    }

    #[tokio::test]
    async fn a_granted_service_acts_for_the_user_it_names() {
        let bench = bench();
        let identity = message(&bench);
        let token = tokens(&bench, "chat").on_behalf_of("message", &ada());
        let caller = identity.verify(&token).await.unwrap();
        assert_eq!(caller.acting().unwrap(), ada());

        let plain = tokens(&bench, "chat").plain("message");
        let Caller::Service(chat) = identity.verify(&plain).await.unwrap() else { panic!() };
        assert!(chat.require(Grant::Batch).is_ok());
        assert_eq!(chat.require(Grant::Rings).unwrap_err().kind(), Kind::Forbidden);
        assert_eq!(Caller::Service(chat).acting().unwrap_err().kind(), Kind::Forbidden);
    }

    #[tokio::test]
    async fn a_service_without_grants_or_aiming_elsewhere_is_refused() {
        let bench = bench();
        let identity = message(&bench);
        let stranger = tokens(&bench, "bridge").plain("message");
        let aimed = tokens(&bench, "chat").plain("user");
        for token in [stranger, aimed] {
            assert_eq!(identity.verify(&token).await.unwrap_err().kind(), Kind::BadToken);
        }
    }

    #[tokio::test]
    async fn whoever_acts_from_another_session_or_under_another_name_has_another_token() {
        let bench = bench();
        let (identity, chat) = (message(&bench), tokens(&bench, "chat"));
        let phone = Person { session: Some(SessionId(Uuid::from_u128(1))), ..ada() };
        let laptop = Person { session: Some(SessionId(Uuid::from_u128(2))), ..ada() };
        let renamed = Person { name: "countess".into(), ..laptop.clone() };
        for person in [ada(), phone.clone(), laptop, renamed, phone] {
            let token = chat.on_behalf_of("message", &person);
            assert_eq!(identity.verify(&token).await.unwrap().acting().unwrap(), person);
            assert_eq!(chat.on_behalf_of("message", &person), token);
        }
    }

    #[tokio::test]
    async fn a_token_is_used_again_until_it_is_about_to_end() {
        let bench = bench();
        let identity = message(&bench);
        let chat = tokens(&bench, "chat");
        let first = chat.plain("message");
        assert_eq!(chat.plain("message"), first);
        identity.verify(&first).await.unwrap();
        bench.hands.fetch_add(61_000, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(identity.verify(&first).await.unwrap_err().kind(), Kind::ExpiredToken);
        let second = chat.plain("message");
        assert_ne!(second, first);
        identity.verify(&second).await.unwrap();
    }
}
