//! Folders, ports and disks that a node can't use: one clear error, its exit code, nothing lost.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Tmpfs, is_root, skip};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn a_folder_in_use_is_refused_to_a_second_node_and_the_first_goes_on() {
    let cluster = Cluster::start(OUTBOARD, 1);
    cluster.run(["put", "k", "v"]).ok();
    // Another address, so that only the folder can be in the way.
    let dir = cluster.dir(1).to_str().expect("text");
    let second = cluster.program().run(["start", "--data-dir", dir, "--listen", "127.0.0.1:0"]);
    second.exits(1).says(["OB1005", dir]);
    assert_eq!(cluster.run(["get", "k"]).ok().text(), "v");
}

#[test]
fn a_port_in_use_is_named() {
    let cluster = Cluster::form(OUTBOARD, 1);
    let _taken = UdpSocket::bind(cluster.address(1)).expect("nobody has it");
    let address = cluster.address(1).to_string();
    cluster.try_start(1).exits(1).says(["OB1004", &address]);
}

#[test]
fn a_folder_that_holds_no_node_is_named() {
    let cluster = Cluster::form(OUTBOARD, 1);
    // An empty one would become a node.
    let photos = cluster.folder().join("photos");
    std::fs::create_dir(&photos).expect("writable");
    std::fs::write(photos.join("oslo.jpg"), "").expect("writable");
    let photos = photos.to_str().expect("text");
    cluster.program().run(["start", "--data-dir", photos]).exits(1).says(["OB1008", photos]);
}

#[test]
fn the_log_of_another_cluster_is_refused_and_left_as_it_is() {
    let (mut one, other) = (Cluster::start(OUTBOARD, 1), Cluster::form(OUTBOARD, 1));
    one.run(["put", "k", "v"]).ok();
    one.terminate(1);
    let own = (one.dir(1).join("node.toml"), one.dir(1).join("identity"));
    let kept = (one.folder().join("node.toml"), one.folder().join("identity"));
    std::fs::rename(&own.0, &kept.0).expect("moved");
    std::fs::rename(&own.1, &kept.1).expect("moved");
    // A certificate of one cluster, a node.toml of the other: caught before the log is looked at.
    std::fs::copy(other.dir(1).join("node.toml"), &own.0).expect("copied");
    copy_files(&kept.1, &own.1);
    one.try_start(1).exits(1).says(["OB1008", "mixes two clusters"]);
    // Both of the other cluster: the log is still this one's.
    std::fs::remove_dir_all(&own.1).expect("it was there");
    copy_files(&other.dir(1).join("identity"), &own.1);
    one.try_start(1).exits(1).says(["OB1008", "mixes two clusters"]);
    // With its own identity again, nothing is missing.
    std::fs::remove_dir_all(&own.1).expect("it was there");
    std::fs::rename(&kept.0, &own.0).expect("moved");
    std::fs::rename(&kept.1, &own.1).expect("moved");
    one.start_all();
    assert_eq!(one.run(["get", "k"]).ok().text(), "v");
}

#[test]
fn an_unwritable_folder_is_one_clear_error() {
    let mut cluster = Cluster::form(OUTBOARD, 1);
    let place = cluster.folder().join("read-only");
    if is_root() {
        // Modes don't stop root: a read-only disk does.
        let Some(disk) = Tmpfs::mount(&place, 16) else { return skip("right to mount a tmpfs here") };
        cluster.move_dir(1, &place.join("n1"));
        disk.make_read_only();
        cluster.try_start(1).exits(1).says(["OB1006", "read-only/n1"]);
    } else {
        cluster.move_dir(1, &place);
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o500)).expect("it is ours");
        cluster.try_start(1).exits(1).says(["OB1006", "read-only"]);
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    }
}

#[test]
fn a_full_disk_halts_the_node_and_with_room_again_every_acknowledged_write_is_there() {
    const VALUE_BYTES: usize = 1_000_000;
    let mut cluster = Cluster::form(OUTBOARD, 1);
    let place = cluster.folder().join("small");
    let Some(disk) = Tmpfs::mount(&place, 160) else { return skip("right to mount a tmpfs here") };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 64 << 20]).expect("there is room for it");
    cluster.move_dir(1, &disk.path().join("n1"));
    cluster.start_all();
    cluster.leader();
    let value = |number: usize| noise(number as u64, VALUE_BYTES);
    let file = cluster.folder().join("value");
    let argument = format!("@{}", file.display());
    // More than the disk holds.
    let acknowledged = (0..160).take_while(|number| {
        std::fs::write(&file, value(*number)).expect("there is room elsewhere");
        cluster.run(["put", &format!("k{number}"), &argument, "--timeout", "2s"]).code == Some(0)
    });
    let acknowledged = acknowledged.count();
    assert!((1..160).contains(&acknowledged), "{acknowledged} writes were acknowledged");
    assert_eq!(cluster.wait_for_end(1), Some(1), "{}", cluster.log(1));
    for words in ["error[OB1007]", "No space left"] {
        assert!(cluster.log(1).contains(words), "{}", cluster.log(1));
    }
    std::fs::remove_file(&ballast).expect("it was there");
    cluster.start_all();
    for number in 0..acknowledged {
        assert!(
            cluster.run(["get", &format!("k{number}"), "-o", "raw"]).ok().stdout == value(number),
            "k{number} is lost"
        );
    }
}

/// Printable, so that a value is the same in every form of output; not compressible.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'!' + (state >> 32) as u8 % 64
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("readable");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
