//! Who a task is to run as, from `/etc/passwd` and `/etc/group`. Only those two files are asked:
//! a directory service would need the C library's resolver, which may block for seconds.

use std::fs;

/// A user that a task may run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// The login name.
    pub(super) name: String,
    /// The user's number.
    pub(super) uid: u32,
    /// The number of the user's main group.
    pub(super) gid: u32,
    /// The numbers of the further groups.
    pub(super) groups: Vec<u32>,
    /// The home directory.
    pub(super) home: String,
}

/// Finds a user by name or number; the error is for people.
pub(super) fn find(wanted: &str) -> Result<User, String> {
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
    };
    find_in(
        wanted,
        &read("/etc/passwd")?,
        &read("/etc/group").unwrap_or_default(),
    )
    .ok_or_else(|| format!("`{wanted}`: no such user on this node"))
}

fn find_in(wanted: &str, passwd: &str, group: &str) -> Option<User> {
    let mut user = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else {
            return None;
        };
        (name == wanted || uid == wanted).then_some(User {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            groups: Vec::new(),
            home: home.to_owned(),
        })
    })?;
    for line in group.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else {
            continue;
        };
        if let Ok(gid) = gid.parse::<u32>()
            && members.split(',').any(|member| member == user.name)
        {
            user.groups.push(gid);
        }
    }
    if !user.groups.contains(&user.gid) {
        user.groups.push(user.gid);
    }
    Some(user)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_number_with_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nann:x:1001:100::/home/ann:/bin/sh\n";
        let group = "users:x:100:\nvideo:x:44:bob,ann\nbad line\n";
        let ann = find_in("ann", passwd, group).unwrap();
        assert_eq!(
            (ann.uid, ann.gid, ann.groups.as_slice()),
            (1001, 100, &[44, 100][..])
        );
        assert_eq!(find_in("1001", passwd, group), Some(ann));
        assert_eq!(find_in("", passwd, group), None);
        assert_eq!(find_in("carl", passwd, group), None);
    }
}
