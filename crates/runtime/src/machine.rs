//! What the machine (or the container we are in) gives us.

use std::num::NonZero;

/// Bytes of memory this process may count on: the machine's, or the container's limit if that is less.
pub fn memory_bytes() -> u64 {
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    physical_bytes().min(limit.unwrap_or(u64::MAX))
}

/// Threads that can run at the same time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

#[allow(unsafe_code)]
fn physical_bytes() -> u64 {
    // SAFETY: sysconf takes and returns plain numbers.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    match (u64::try_from(pages), u64::try_from(page)) {
        (Ok(pages), Ok(page)) => pages.saturating_mul(page),
        // A system that will not say: assume little.
        _ => 1 << 30,
    }
}

/// Lets this process open at least `wanted` files, if the system allows that many. What it may open now; `None` where the
/// system does not tell.
#[allow(unsafe_code)]
pub fn raise_descriptor_limit(wanted: u64) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes to a place that is valid for it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return None;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max.min(wanted.max(limit.rlim_cur)), rlim_max: limit.rlim_max };
    // SAFETY: the call reads from a place that is valid for it.
    if raised.rlim_cur > limit.rlim_cur && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        return Some(raised.rlim_cur);
    }
    Some(limit.rlim_cur)
}

/// Makes this thread, and those it starts, give way to others when processors are short: by `niceness` more than it did, from 0
/// (equal shares) to 19, each step a fifth less. There is no way back without privileges. False where the system has no such thing.
#[allow(unsafe_code)]
pub fn give_way(niceness: u8) -> bool {
    if niceness == 0 {
        return true;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: take and return plain numbers. On Linux, 0 is the calling thread.
    return unsafe {
        let now = libc::getpriority(libc::PRIO_PROCESS, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, (now + i32::from(niceness)).min(19)) == 0
    };
    #[cfg(not(target_os = "linux"))]
    false
}

/// Bytes of memory this process has in RAM now; 0 where the system does not tell.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_something() {
        assert!(memory_bytes() > 64 << 20);
        assert!(cores() >= 1);
        assert!(resident_bytes() < memory_bytes());
    }
}
