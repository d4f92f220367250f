//! The file servers of a lab: NFS-Ganesha and Samba, on directories of the lab.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::network::{Network, succeed};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);
/// The only user that Samba knows, and its password: nobody else is on its network.
pub(super) const USER: &str = "root";
pub const PASSWORD: &str = "outlast-lab";

/// Who root is where it is squashed.
pub(super) const NOBODY: u32 = 65534;

/// A file server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// NFS 4.1 by NFS-Ganesha: close-to-open, state that survives a restart, ten seconds of grace.
    Nfs,
    /// SMB 3.1.1 by Samba.
    Smb,
}

impl Server {
    fn program(self) -> &'static str {
        match self {
            Self::Nfs => "ganesha.nfsd",
            Self::Smb => "smbd",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Nfs => 2049,
            Self::Smb => 445,
        }
    }

    pub(super) fn start(self, directory: &Path, network: &Network) -> io::Result<()> {
        let path = |name: &str| directory.join(name);
        let out = File::options().create(true).append(true).open(path("run/servers.log"))?;
        // As a child of nobody, so that nobody has to wait for its end.
        let mut command = network.command("setsid");
        command.arg("--fork").arg(self.program());
        match self {
            Self::Nfs => {
                command.arg("-F").arg("-f").arg(path("ganesha.conf"));
                command.arg("-L").arg(path("run/ganesha.log"));
                command.arg("-p").arg(path("run/ganesha.pid"));
            }
            Self::Smb => {
                command.args(["--foreground", "--no-process-group", "--debug-stdout"]);
                command.arg("--configfile").arg(path("smb.conf"));
            }
        }
        command.stdout(out.try_clone()?).stderr(out).status()?;
        let began = Instant::now();
        while !network.is_listening(self.port()) {
            if began.elapsed() > PATIENCE {
                let words = fs::read_to_string(path("run/servers.log")).unwrap_or_default();
                let program = self.program();
                return Err(io::Error::other(format!("{program} does not listen: {words}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub(super) fn kill(self, network: &Network) -> io::Result<()> {
        network.kill(Some(self.program()))
    }
}

/// Writes the configuration of both.
pub(super) fn configure(directory: &Path) -> io::Result<()> {
    let at = directory.display();
    let export = |id: u32, name: &str, pseudo: &str, squash: &str| {
        format!(
            "EXPORT {{ Export_Id = {id}; Path = {at}/{name}; Pseudo = {pseudo}; Access_Type = RW;
  Squash = {squash}; Anonymous_Uid = {NOBODY}; Anonymous_Gid = {NOBODY}; Protocols = 4; Transports = TCP; SecType = sys; Attr_Expiration_Time = 0;
  FSAL {{ Name = VFS; }} }}\n"
        )
    };
    let ganesha = [
        format!(
            "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = 2049; Bind_addr = 0.0.0.0;
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }}
NFS_KRB5 {{ Active_krb5 = false; }}
NFSV4 {{ Grace_Period = 10; Lease_Lifetime = 10; RecoveryRoot = {at}/rec; RecoveryBackend = fs;
  Minor_Versions = 1, 2; Only_Numeric_Owners = true; }}
LOG {{ Default_Log_Level = EVENT; }}\n"
        ),
        export(1, "nfs", "/backups", "No_Root_Squash"),
        export(2, "squashed", "/squashed", "Root_Squash"),
    ];
    write(&directory.join("ganesha.conf"), &ganesha.concat())?;
    let smb = format!(
        "[global]
  server role = standalone server
  netbios name = OUTLASTLAB
  disable netbios = yes
  smb ports = 445
  interfaces = lo br0
  bind interfaces only = yes
  private dir = {at}/state
  state directory = {at}/state
  cache directory = {at}/state
  lock directory = {at}/state
  pid directory = {at}/state
  ncalrpc dir = {at}/state/ncalrpc
  passdb backend = tdbsam:{at}/state/passdb.tdb
  load printers = no
  printing = bsd
  printcap name = /dev/null
  disable spoolss = yes
  server min protocol = SMB3_11
  map to guest = never
[backups]
  path = {at}/smb
  read only = no
  valid users = {USER}
"
    );
    let file = directory.join("smb.conf");
    write(&file, &smb)?;
    let mut command = Command::new("smbpasswd");
    command.arg("-c").arg(&file).args(["-s", "-a", USER]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        write!(input, "{PASSWORD}\n{PASSWORD}\n")?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("smbpasswd: {words}")))
}

pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    File::create(path)?.write_all(text.as_bytes())
}

/// An empty ext4 file system in a file.
pub(super) fn make_disk(path: &Path, bytes: u64) -> io::Result<()> {
    File::create(path)?.set_len(bytes)?;
    succeed(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path)).map(drop)
}
