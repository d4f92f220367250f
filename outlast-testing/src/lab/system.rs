//! Hosts with systemd as their first program.

use std::path::Path;

use super::guest::{address, jobs_loop};

/// What a boot does for a machine of iron, or would do to the files of this one: they lie below, and some of it cleans up.
const LEFT_OUT: &str = "apparmor getty@ serial-getty@ modprobe@ systemd-binfmt systemd-fsck-root systemd-logind \
    systemd-modules-load systemd-networkd-wait-online systemd-random-seed systemd-remount-fs systemd-sysusers \
    systemd-timesyncd systemd-tmpfiles-clean systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-udev-trigger \
    systemd-udevd systemd-update-utmp systemd-user-sessions";

/// The script that becomes systemd. Scripts are run by a unit of their own, and a halt is that of the system.
pub(super) fn init_script(directory: &Path, number: u8, files: &Path, prepare: &str) -> String {
    let (here, files, address) = (directory.display(), files.display(), address(number));
    let jobs = jobs_loop(directory);
    format!(
        "#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run SYSTEMD_OFFLINE=1
mount -t proc proc /proc; mount -t tmpfs tmp /run
mount --bind /usr/lib/uml/modules /lib/modules
modprobe -a overlay nfsv4 cifs
ip link set lo up; ip addr add {address}/24 dev vec0; ip link set vec0 up
mkdir -p /run/up /run/work /run/root
mount -t overlay overlay -o lowerdir=/,upperdir=/run/up,workdir=/run/work /run/root || halt -f -p
cd /run/root
mount --bind /usr/lib/uml/modules lib/modules
mkdir -p .{here}; mount --bind {here} .{here}
rm -rf etc/systemd/system/* etc/rc?.d etc/fstab var/lib/systemd var/log/journal
echo host{number} > etc/hostname; echo 0123456789abcdef0123456789abcdef > etc/machine-id
for unit in {LEFT_OUT}; do ln -s /dev/null etc/systemd/system/$unit.service; done
ln -s /lib/systemd/system/multi-user.target etc/systemd/system/default.target
mkdir -p etc/systemd/system/multi-user.target.wants
cat > etc/systemd/system/jobs.service <<'END'
[Service]
ExecStart=/bin/bash {here}/jobs.sh
KillMode=process
END
ln -s ../jobs.service etc/systemd/system/multi-user.target.wants/
cp -a {files}/. .
cat > {here}/jobs.sh <<'END'
{jobs}systemctl poweroff
END
cat > {here}/prepare.sh <<'END'
{prepare}
END
chroot . /bin/bash -e {here}/prepare.sh || halt -f -p
umount /proc
mount --move /run/root /
exec chroot . /lib/systemd/systemd systemd.show_status=0
"
    )
}
