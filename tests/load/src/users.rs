//! People with browsers: each keeps the cookies that it is given, sends one request at a time, and is answered by a pool.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use hyper::header::HeaderValue;

use crate::connection::{Answer, Moved, Pool};

/// One of them, while it sends nothing.
#[derive(Default)]
pub(crate) struct User {
    cookies: BTreeMap<String, String>,
    /// Which pool answered it last.
    pool: Option<Pool>,
}

/// All who send nothing now; they take turns.
pub(crate) struct Users(Mutex<VecDeque<User>>);

impl Users {
    pub(crate) fn new(count: usize) -> Self {
        Self(Mutex::new((0..count).map(|_| User::default()).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<User>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose turn it is; `None` while all wait for an answer.
    pub(crate) fn next(&self) -> Option<User> {
        self.lock().pop_front()
    }

    /// It has its answer, and whether another pool gave it than before.
    pub(crate) fn back(&self, mut user: User, answer: &Answer) -> Option<Moved> {
        for cookie in &answer.cookies {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                user.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        let before = if answer.pool == Pool::None { None } else { user.pool.replace(answer.pool) };
        let moved = match (before, answer.pool) {
            (Some(Pool::Standard), Pool::FreeThreaded) => Some(Moved::Joined),
            (Some(Pool::FreeThreaded), Pool::Standard) => Some(Moved::Left),
            _ => None,
        };
        self.lock().push_back(user);
        moved
    }
}

impl User {
    /// The cookies as a header, in one; `None` without any.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let all: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        HeaderValue::from_str(&all.join("; ")).ok().filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Outcome;

    fn answer(pool: Pool, cookies: &[&str]) -> Answer {
        let cookies = cookies.iter().map(ToString::to_string).collect();
        Answer {
            pool,
            outcome: Outcome::Ok,
            pod: None,
            detail: None,
            reconnected: false,
            cookies,
            moved: None,
        }
    }

    #[test]
    fn a_user_keeps_its_cookies_and_is_seen_to_change_the_pool() {
        let users = Users::new(1);
        let user = users.next().unwrap();
        assert!(users.next().is_none(), "one request at a time");
        assert_eq!(users.back(user, &answer(Pool::Standard, &["side=std; Path=/", "lang=en"])), None);
        let user = users.next().unwrap();
        assert_eq!(user.header().unwrap(), "lang=en; side=std");
        assert_eq!(users.back(user, &answer(Pool::None, &[])), None);
        let user = users.next().unwrap();
        assert_eq!(users.back(user, &answer(Pool::FreeThreaded, &["side=ft"])), Some(Moved::Joined));
        let user = users.next().unwrap();
        assert_eq!(user.header().unwrap(), "lang=en; side=ft");
        assert_eq!(users.back(user, &answer(Pool::Standard, &[])), Some(Moved::Left));
    }
}
