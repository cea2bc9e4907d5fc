//! The bearer token of the TCP API: made on first need, kept in the data directory.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use data_encoding::BASE32_NOPAD;
use rand::TryRng;
use rand::rngs::SysRng;
use starling_api::TOKEN_FILE;

/// How many random bytes a token holds.
const TOKEN_BYTES: usize = 20;
/// The fewest letters that a token somebody wrote by hand may have.
const MIN_TOKEN: usize = 16;

/// The token in `data_dir`, made if there is none.
pub(super) fn load_or_make(data_dir: &Path) -> io::Result<String> {
    let path = data_dir.join(TOKEN_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            // A copy that others may read is no secret; narrow it rather than fail.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            let token = text.trim();
            if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "it does not hold a token of at least {MIN_TOKEN} letters; remove it to have a new one made"
                    ),
                ));
            }
            Ok(token.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(data_dir, &path),
        Err(error) => Err(error),
    }
}

fn make(data_dir: &Path, path: &Path) -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let token = BASE32_NOPAD.encode(&bytes).to_lowercase();
    let draft = data_dir.join(format!(".{TOKEN_FILE}.new"));
    let _ = fs::remove_file(&draft);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(token)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let token = load_or_make(folder.path()).unwrap();
        assert_eq!(token.len(), 32);
        assert_eq!(load_or_make(folder.path()).unwrap(), token);
        let path = folder.path().join(TOKEN_FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        assert!(load_or_make(folder.path()).is_err());
    }
}
