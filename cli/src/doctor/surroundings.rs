//! What surrounds this program: the operating system, a container, Windows around Linux.

use std::fs;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Linux,
    MacOs,
    Windows,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub(crate) system: System,
    pub(crate) in_container: bool,
    /// Whether this is Linux within Windows (WSL).
    pub(crate) in_wsl: bool,
}

impl System {
    /// The system that this program was built for.
    pub(crate) fn here() -> Self {
        if cfg!(target_os = "linux") {
            Self::Linux
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else if cfg!(windows) {
            Self::Windows
        } else {
            Self::Other
        }
    }
}

impl Surroundings {
    /// Reads the marks that container engines and WSL leave in the files below `root`.
    pub(crate) fn detect(system: System, root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let groups = read("proc/1/cgroup");
        let in_container = root.join(".dockerenv").exists()
            || root.join("run/.containerenv").exists()
            || ["docker", "containerd", "kubepods", "libpod", "lxc"]
                .iter()
                .any(|engine| groups.contains(engine));
        let release = read("proc/sys/kernel/osrelease").to_lowercase();
        Self {
            system,
            in_container: system == System::Linux && in_container,
            in_wsl: system == System::Linux && release.contains("microsoft"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The surroundings of a host with one file.
    fn with(name: &str, path: &str, text: &str) -> Surroundings {
        let folder = format!("udp-discovery-surroundings-{}-{name}", std::process::id());
        let root = std::env::temp_dir().join(folder);
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        let surroundings = Surroundings::detect(System::Linux, &root);
        fs::remove_dir_all(root).unwrap();
        surroundings
    }

    #[test]
    fn a_container_is_known_by_the_marks_of_its_engine() {
        for (name, path, text) in [
            ("docker", ".dockerenv", ""),
            ("podman", "run/.containerenv", "engine=\"podman\""),
            ("kubernetes", "proc/1/cgroup", "0::/kubepods.slice/pod1\n"),
            ("old", "proc/1/cgroup", "12:pids:/docker/0123456789ab\n"),
        ] {
            let surroundings = with(name, path, text);
            assert!(
                surroundings.in_container && !surroundings.in_wsl,
                "{name}: {surroundings:?}"
            );
        }
    }

    #[test]
    fn wsl_is_known_by_the_name_of_its_kernel() {
        for release in ["5.15.90.1-microsoft-standard-WSL2\n", "4.4.0-Microsoft\n"] {
            let surroundings = with("wsl", "proc/sys/kernel/osrelease", release);
            assert!(surroundings.in_wsl && !surroundings.in_container);
        }
    }

    #[test]
    fn a_plain_host_is_neither_and_so_is_one_whose_files_cannot_be_read() {
        let plain = with("plain", "proc/1/cgroup", "0::/init.scope\n");
        let missing = Surroundings::detect(System::Linux, Path::new("/nonexistent"));
        for surroundings in [plain, missing] {
            assert!(!surroundings.in_container && !surroundings.in_wsl);
        }
    }
}
