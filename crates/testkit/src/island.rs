//! A network namespace of a test's own, and cables to it which can be cut, also in one direction only. Wants root and iproute2.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Nobody has this address: what is sent to it arrives, and is thrown away.
const NOBODY: &str = "02:00:00:00:00:01";

/// In which direction nothing comes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Neither.
    Both,
    /// Into the namespace.
    In,
    /// Out of it.
    Out,
}

/// A namespace, with some cables to the one of the test.
#[derive(Debug)]
pub struct Island {
    name: String,
    /// The third byte of all its addresses, which are of those kept for tests of networks (RFC 2544).
    subnet: u8,
    cables: u8,
}

impl Island {
    /// Whether this process may make one.
    pub fn is_possible() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// One with so many cables.
    pub fn make(cables: u8) -> Result<Island> {
        let pid = std::process::id();
        let island = Island { name: format!("starling-{pid}-island"), subnet: (pid % 250) as u8, cables };
        let name = &island.name;
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        for cable in 0..cables {
            let outside = island.device(cable);
            ip(&format!("link add {outside} type veth peer name cable{cable} netns {name}"))?;
            ip(&format!("addr add {}/30 dev {outside}", island.outside(cable)))?;
            ip(&format!("-n {name} addr add {}/30 dev cable{cable}", island.inside(cable)))?;
            ip(&format!("link set {outside} up"))?;
            ip(&format!("-n {name} link set cable{cable} up"))?;
        }
        Ok(island)
    }

    /// What `ip netns exec` calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of the test at that cable.
    pub fn outside(&self, cable: u8) -> IpAddr {
        Ipv4Addr::new(198, 19, self.subnet, cable * 4 + 1).into()
    }

    /// The address in the namespace at that cable.
    pub fn inside(&self, cable: u8) -> IpAddr {
        Ipv4Addr::new(198, 19, self.subnet, cable * 4 + 2).into()
    }

    /// Listens on its loopback. Whoever accepts there is outside all the same, and may connect to what is outside.
    pub fn listen(&self) -> Result<TcpListener> {
        let namespace = File::open(format!("/var/run/netns/{}", self.name))?;
        // A thread that has moved does not come back: it ends.
        let listening = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        });
        let listening = listening.join().map_err(|_| anyhow!("the thread is gone"))?;
        listening.context("listening in a network namespace")
    }

    /// From now on so many of a hundred packets that come in, and that go out, are lost, on all cables. Wants nftables.
    pub fn lose(&self, percent: u8) -> Result<()> {
        self.lose_none()?;
        let mut rules = "add table inet loss;".to_owned();
        for hook in ["input", "output"] {
            let through = if hook == "input" { "iifname" } else { "oifname" };
            let lost = format!("{through} != \"lo\" numgen random mod 100 < {percent} drop");
            rules.push_str(&format!(
                "add chain inet loss {hook} {{ type filter hook {hook} priority 0; }}; add rule inet loss {hook} {lost};"
            ));
        }
        self.nft(&rules)
    }

    /// Nothing is lost any more.
    pub fn lose_none(&self) -> Result<()> {
        self.nft("add table inet loss; delete table inet loss")
    }

    fn nft(&self, rules: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "nft", rules]);
        let done = command.output().context("nft, of nftables, by ip")?;
        ensure!(done.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    fn device(&self, cable: u8) -> String {
        format!("st{}c{cable}", std::process::id())
    }

    /// From now on packets are lost, and nobody is told.
    pub fn cut(&self, cable: u8, cut: Cut) -> Result<()> {
        if cut != Cut::Out {
            let (to, device) = (self.inside(cable), self.device(cable));
            ip(&format!("neigh replace {to} lladdr {NOBODY} dev {device} nud permanent"))?;
        }
        if cut != Cut::In {
            let (name, to) = (&self.name, self.outside(cable));
            ip(&format!("-n {name} neigh replace {to} lladdr {NOBODY} dev cable{cable} nud permanent"))?;
        }
        Ok(())
    }

    /// Whole again.
    pub fn mend(&self, cable: u8, cut: Cut) -> Result<()> {
        if cut != Cut::Out {
            ip(&format!("neigh del {} dev {}", self.inside(cable), self.device(cable)))?;
        }
        if cut != Cut::In {
            ip(&format!("-n {} neigh del {} dev cable{cable}", self.name, self.outside(cable)))?;
        }
        Ok(())
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        for cable in 0..self.cables {
            let _ = ip(&format!("link del {}", self.device(cable)));
        }
        let _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(arguments: &str) -> Result<()> {
    let done = Command::new("ip").args(arguments.split(' ')).output().context("ip, of iproute2")?;
    ensure!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
