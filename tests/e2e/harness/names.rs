//! A name server over UDP and TCP, whose answers a test changes as it likes (RFC 1035).

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::free_port;

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What fits an answer over UDP; beyond, it is cut and asked for again over TCP.
const MOST_BY_UDP: usize = 512;

pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// By name in lower case, without a dot at its end.
    says: Mutex<HashMap<String, Says>>,
    /// Of all names.
    mood: Mutex<Mood>,
    by_udp: AtomicUsize,
    by_tcp: AtomicUsize,
}

/// What a server says of one name; of others that they don't exist.
#[derive(Clone, Debug)]
pub enum Says {
    /// Those of the type that is asked for, with aliases; if there are none, that there are none.
    Records(Vec<Record>),
    /// NXDOMAIN.
    NoSuchName,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mood {
    #[default]
    Well,
    /// Takes questions and answers none.
    Silent,
    /// SERVFAIL.
    Failing,
    /// SERVFAIL to questions for AAAA records.
    FailingIpv6,
}

#[derive(Clone, Debug)]
pub enum Record {
    Address(IpAddr),
    Service {
        priority: u16,
        weight: u16,
        port: u16,
        target: String,
    },
    /// The records after it are the other name's.
    Alias(String),
}

impl Record {
    pub fn address(address: &str) -> Record {
        Record::Address(address.parse().expect("an address"))
    }

    fn code(&self) -> u16 {
        match self {
            Record::Address(IpAddr::V4(_)) => A,
            Record::Address(IpAddr::V6(_)) => AAAA,
            Record::Service { .. } => SRV,
            Record::Alias(_) => CNAME,
        }
    }
}

impl NameServer {
    pub fn start() -> NameServer {
        let (address, udp, tcp) = sockets();
        let shared = Arc::new(Shared::default());
        let (over_udp, over_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || answer_udp(&udp, &over_udp));
        thread::spawn(move || answer_tcp(&tcp, &over_tcp));
        NameServer { address, shared }
    }

    /// A `[resolver]` that asks this server alone, again after a second.
    pub fn resolver(&self) -> String {
        format!(
            "\n[resolver]\nservers = [\"{}\"]\nmax_retry = \"1s\"\ntimeout = \"500ms\"\n",
            self.address
        )
    }

    pub fn says(&self, name: &str, says: Says) {
        lock(&self.shared.says).insert(name.to_owned(), says);
    }

    pub fn leads(&self, name: &str, addresses: &[&str]) {
        let records = addresses.iter().map(|address| Record::address(address)).collect();
        self.says(name, Says::Records(records));
    }

    pub fn is(&self, mood: Mood) {
        *lock(&self.shared.mood) = mood;
    }

    /// Questions so far.
    pub fn by_udp(&self) -> usize {
        self.shared.by_udp.load(Ordering::SeqCst)
    }

    pub fn by_tcp(&self) -> usize {
        self.shared.by_tcp.load(Ordering::SeqCst)
    }
}

/// Both of one port.
fn sockets() -> (SocketAddr, UdpSocket, TcpListener) {
    let bind = |_| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        Some((address, UdpSocket::bind(address).ok()?, TcpListener::bind(address).ok()?))
    };
    (0..10).find_map(bind).expect("a free port")
}

fn answer_udp(socket: &UdpSocket, shared: &Shared) {
    let mut question = [0; 4096];
    while let Ok((length, asker)) = socket.recv_from(&mut question) {
        shared.by_udp.fetch_add(1, Ordering::SeqCst);
        let Some(mut answer) = shared.answer(&question[..length]) else { continue };
        if answer.len() > MOST_BY_UDP {
            answer = truncated(&answer);
        }
        let _ = socket.send_to(&answer, asker);
    }
}

fn answer_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let (Ok(mut stream), shared) = (stream, Arc::clone(shared)) else { continue };
        thread::spawn(move || while answer_on(&mut stream, &shared).is_some() {});
    }
}

fn answer_on(stream: &mut TcpStream, shared: &Shared) -> Option<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question).ok()?;
    shared.by_tcp.fetch_add(1, Ordering::SeqCst);
    let answer = shared.answer(&question)?;
    let length = u16::try_from(answer.len()).ok()?;
    stream.write_all(&length.to_be_bytes()).ok()?;
    stream.write_all(&answer).ok()
}

/// The head with TC set, and the question.
fn truncated(answer: &[u8]) -> Vec<u8> {
    let (_, _, end) = question(answer).expect("we wrote it");
    let mut cut = answer[..end].to_vec();
    cut[2] |= 0b10;
    cut[6..12].fill(0);
    cut
}

impl Shared {
    /// `None`: silence.
    fn answer(&self, asked: &[u8]) -> Option<Vec<u8>> {
        let (name, code, end) = question(asked)?;
        let mut answer = asked[..end].to_vec();
        // An answer, with recursion wanted and had.
        answer[2] = 0b1000_0001;
        answer[3] = 0b1000_0000;
        answer[6..12].fill(0);
        match *lock(&self.mood) {
            Mood::Silent => return None,
            Mood::Failing => {
                answer[3] |= 2;
                return Some(answer);
            }
            Mood::FailingIpv6 if code == AAAA => {
                answer[3] |= 2;
                return Some(answer);
            }
            Mood::Well | Mood::FailingIpv6 => {}
        }
        let said = lock(&self.says).get(&name).cloned().unwrap_or(Says::NoSuchName);
        let Says::Records(records) = said else {
            answer[3] |= 3;
            write_soa(&mut answer);
            return Some(answer);
        };
        let wanted = |record: &&Record| [code, CNAME].contains(&record.code());
        let has = records.iter().any(|record| record.code() == code);
        let mut owner = name;
        for record in records.iter().filter(wanted).filter(|_| has) {
            write_record(&mut answer, &owner, record);
            if let Record::Alias(target) = record {
                owner.clone_from(target);
            }
        }
        if !has {
            write_soa(&mut answer);
        }
        Some(answer)
    }
}

/// The name and type asked for, and where the question ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let code = message.get(at..at + 2)?;
    Some((labels.join("."), u16::from_be_bytes([code[0], code[1]]), at + 4))
}

fn write_record(answer: &mut Vec<u8>, owner: &str, record: &Record) {
    let mut data = Vec::new();
    match record {
        Record::Address(IpAddr::V4(address)) => data.extend(address.octets()),
        Record::Address(IpAddr::V6(address)) => data.extend(address.octets()),
        Record::Alias(target) => write_name(&mut data, target),
        Record::Service { priority, weight, port, target } => {
            for number in [priority, weight, port] {
                data.extend(number.to_be_bytes());
            }
            write_name(&mut data, target);
        }
    }
    write(answer, 7, owner, record.code(), &data);
}

/// Says how long an absence holds: not at all.
fn write_soa(answer: &mut Vec<u8>) {
    let mut data = Vec::new();
    write_name(&mut data, "ns.internal");
    write_name(&mut data, "admin.internal");
    data.extend([0; 20]);
    write(answer, 9, "internal", SOA, &data);
}

/// One record that holds for no time, counted in the low byte of the head at `count`.
fn write(answer: &mut Vec<u8>, count: usize, owner: &str, code: u16, data: &[u8]) {
    write_name(answer, owner);
    answer.extend(code.to_be_bytes());
    answer.extend(1_u16.to_be_bytes());
    answer.extend(0_u32.to_be_bytes());
    answer.extend(u16::try_from(data.len()).expect("a short record").to_be_bytes());
    answer.extend(data);
    answer[count] += 1;
}

fn write_name(into: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        into.push(u8::try_from(label.len()).expect("a short label"));
        into.extend(label.as_bytes());
    }
    into.push(0);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
