# The life of a package, on a machine that is covered by a layer: package.sh FIRST SECOND SCRATCH
set -euo pipefail
first=$1 second=$2 scratch=$3
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
exec < /dev/null

below=$scratch/layer
mkdir "$below" && mount -t tmpfs tmpfs "$below"
for folder in etc run usr var; do
    mkdir -p "$below/$folder/upper" "$below/$folder/work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$below/$folder/upper,workdir=$below/$folder/work" "/$folder"
done
# Neither a package of before, nor somebody who keeps services from starting.
rm -rf /usr/bin/outlast /etc/outlast /var/lib/outlast-* /usr/sbin/policy-rc.d /run/systemd/system
sed -i '/^outlast:/d' /etc/passwd /etc/group /etc/shadow /etc/gshadow
# What others have set for dpkg is not tried here, nor that every installation renews the index of manual pages.
rm -f /etc/dpkg/dpkg.cfg.d/* /var/lib/man-db/auto-update

fail() { echo "package.sh: $*"; exit 1; }
is() { [ "$1" = "$2" ] || fail "$3: $1, not $2"; }

ours() { find /usr/bin /usr/lib/systemd /usr/lib/sysusers.d /usr/share /etc -name '*outlast*'; }
before=$(ours)

echo "== installed, where no systemd runs"
dpkg --install "$first"
is "$(outlast --version | cut -d ' ' -f 1)" outlast "the program"
is "$(stat -c '%a %U' /usr/bin/outlast /etc/outlast/agent.toml | tr '\n' ' ')" "755 root 644 root " "modes"
user=$(getent passwd outlast)
is "$(echo "$user" | cut -d : -f 6,7)" /:/usr/sbin/nologin "the user"
dpkg --verify outlast | tee "$scratch/verified"
[ ! -s "$scratch/verified" ] || fail "files are not as they were packed"
said=$(systemd-analyze verify --man=no /usr/lib/systemd/system/outlast-{agent,media,vault}.service 2>&1)
is "$said" "" "units"
for role in agent media vault; do
    is "$(systemctl is-enabled "outlast-$role" 2>&1 || true)" disabled "whether $role is begun at boot"
done
bash -c '. /usr/share/bash-completion/completions/outlast && complete -p outlast' > /dev/null
gzip -dc /usr/share/man/man1/outlast-drop.1.gz | grep -q '^\.TH' || fail "no manual page"

echo "== installed again, and its script run again"
dpkg --install "$first"
/var/lib/dpkg/info/outlast.postinst configure ""
/var/lib/dpkg/info/outlast.postinst configure ""
is "$(getent passwd outlast)" "$user" "the user"
is "$(grep -c '^outlast:' /etc/passwd)" 1 "users"

echo "== upgraded, where systemd runs and things were configured"
echo '# mine' >> /etc/outlast/agent.toml
install -d -o outlast -g outlast -m 700 /var/lib/outlast-vault /var/lib/outlast-agent
echo backup > /var/lib/outlast-vault/pack
systemctl enable outlast-vault 2> /dev/null
mkdir -p /run/systemd/system
printf '#!/bin/sh\necho "$*" >> %s/asked\n' "$scratch" > "$scratch/systemctl"
install -m 755 "$scratch/systemctl" /usr/bin/systemctl
dpkg --install "$second"
is "$(dpkg-query -W -f '${Status} ${Version}' outlast | sed 's/.*-//')" 2 "the revision"
is "$(tail -n 1 /etc/outlast/agent.toml)" "# mine" "a file of the administrator"
for role in agent media vault; do
    grep -q "try-restart outlast-$role.service" "$scratch/asked" || fail "$role runs on as it was"
done
if grep -Eq '(^| )(start|enable|stop|restart) |outlast-instance' "$scratch/asked"; then
    fail "what did not run was begun, or what must not end was ended"
fi
[ -h /etc/systemd/system/multi-user.target.wants/outlast-vault.service ] || fail "no longer enabled"

echo "== removed"
: > "$scratch/asked"
dpkg --remove outlast
[ ! -e /usr/bin/outlast ] || fail "the program is there"
for role in agent media vault; do
    grep -q "stop outlast-$role.service" "$scratch/asked" || fail "$role was not stopped"
done
is "$(tail -n 1 /etc/outlast/agent.toml)" "# mine" "a file of the administrator"
is "$(cat /var/lib/outlast-vault/pack)" backup "what the vault holds"

echo "== installed again over what was left"
dpkg --install "$second"
is "$(tail -n 1 /etc/outlast/agent.toml)" "# mine" "a file of the administrator"

echo "== purged"
dpkg --purge outlast 2>&1 | tee "$scratch/purged"
[ ! -e /etc/outlast ] || fail "configuration is left"
grep -q 'outlast-vault is kept' "$scratch/purged" || fail "nobody is told what is kept"
is "$(cat /var/lib/outlast-vault/pack)" backup "what the vault holds"
is "$(stat -c %U /var/lib/outlast-vault)" outlast "whose it is"
[ ! -e /var/lib/outlast-agent ] || fail "an empty directory is left"
[ ! -h /etc/systemd/system/multi-user.target.wants/outlast-vault.service ] || fail "it is enabled"
is "$(ours)" "$before" "what is left"
dpkg --purge outlast 2>&1 | grep -v 'kept' || true
echo "all of it"
