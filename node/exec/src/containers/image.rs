//! Getting an image, and whether it can run here.

use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt;
use starling_wire::{Container, Pull};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::engine::{Engine, Trouble, is_missing};

/// How long a registry may say nothing while an image is fetched.
const SILENCE: Duration = Duration::from_secs(120);

/// Makes sure that the image of a container is here and for this machine.
pub(super) async fn ensure(
    engine: &Engine,
    container: &Container,
    pulls: &Semaphore,
) -> Result<(), Trouble> {
    let name = full_name(&container.image);
    if container.pull == Pull::Always {
        pull(engine, &name, pulls).await?;
    }
    let image = match engine.docker.inspect_image(&name).await {
        Ok(image) => image,
        Err(error) if is_missing(&error) && container.pull == Pull::Missing => {
            pull(engine, &name, pulls).await?;
            engine
                .docker
                .inspect_image(&name)
                .await
                .map_err(|error| Trouble::of(&format!("image {name}: "), &error))?
        }
        Err(error) if is_missing(&error) => {
            return Err(Trouble::Refused(format!(
                "image {name} is not on this node, and its pull policy is `{}`",
                if container.pull == Pull::Never {
                    "never"
                } else {
                    "always"
                }
            )));
        }
        Err(error) => return Err(Trouble::of(&format!("image {name}: "), &error)),
    };
    check_platform(&name, &image, &engine.facts.arch).map_err(Trouble::Refused)
}

/// An image's name with a tag: without one an engine would fetch every tag there is.
pub(super) fn full_name(image: &str) -> String {
    let has_tag = image
        .rsplit_once(':')
        .is_some_and(|(_, tag)| !tag.contains('/'));
    if has_tag || image.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

async fn pull(engine: &Engine, name: &str, pulls: &Semaphore) -> Result<(), Trouble> {
    let _turn = pulls.acquire().await;
    let what = format!("image {name} cannot be fetched: ");
    let failed = |reason: String| Err(Trouble::Refused(format!("{what}{reason}")));
    tracing::info!(image = %name, "fetching an image");
    let options = CreateImageOptions {
        from_image: Some(name.to_owned()),
        ..CreateImageOptions::default()
    };
    let docker = engine.docker.clone().with_timeout(SILENCE);
    let mut progress = std::pin::pin!(docker.create_image(Some(options), None, None));
    loop {
        match timeout(SILENCE, progress.next()).await {
            Err(_) | Ok(Some(Err(Error::RequestTimeoutError))) => {
                let secs = SILENCE.as_secs();
                return failed(format!("nothing came for {secs} s"));
            }
            Ok(None) => return Ok(()),
            Ok(Some(Err(error))) => return Err(Trouble::of(&what, &error)),
            Ok(Some(Ok(step))) => {
                if let Some(problem) = step.error_detail.and_then(|error| error.message) {
                    return failed(problem);
                }
            }
        }
    }
}

/// Whether the engine's processor runs the image's programs.
fn check_platform(name: &str, image: &ImageInspect, arch: &str) -> Result<(), String> {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
    let (os, of) = (text(&image.os), text(&image.architecture));
    if !os.is_empty() && os != "linux" {
        return Err(format!("image {name} is for {os}, this node runs linux"));
    }
    let runs = of.is_empty()
        || arch.is_empty()
        || of == arch
        || matches!((arch, of.as_str()), ("amd64", "386") | ("arm64", "arm"));
    if runs {
        return Ok(());
    }
    let label = match of.as_str() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    };
    Err(format!(
        "image {name} is for {of}, this node's engine runs {arch}; ask for a node that fits with \
         the constraint arch={label}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_tag_means_the_latest() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for (name, full) in [
            ("alpine", "alpine:latest"),
            ("alpine:3", "alpine:3"),
            ("registry:5000/a", "registry:5000/a:latest"),
            ("registry:5000/a:1", "registry:5000/a:1"),
            (&digest, &digest),
        ] {
            assert_eq!(full_name(name), full);
        }
    }

    #[test]
    fn only_images_for_this_machine_run() {
        let image = |os: &str, arch: &str| ImageInspect {
            os: Some(os.into()),
            architecture: Some(arch.into()),
            ..ImageInspect::default()
        };
        for (arch, engine) in [
            ("amd64", "amd64"),
            ("386", "amd64"),
            ("arm", "arm64"),
            ("", "x"),
        ] {
            assert_eq!(check_platform("i", &image("linux", arch), engine), Ok(()));
        }
        let wrong = check_platform("i", &image("linux", "arm64"), "amd64").unwrap_err();
        assert!(
            wrong.contains("is for arm64") && wrong.contains("arch=aarch64"),
            "{wrong}"
        );
        assert!(check_platform("i", &image("windows", "amd64"), "amd64").is_err());
    }
}
