package notify

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// notPublic are addresses that are not everybody's: IANA's registries of
// special-purpose addresses (RFC 6890 and after), and one of a cloud.
var notPublic = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carrier-grade NAT, and metadata of one cloud
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // host services of Azure, a public address by its looks
	"169.254.0.0/16",   // link-local, with the metadata of most clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast

	"2001::/23",     // protocol assignments, Teredo
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4, which leads to any IPv4 address
	"3fff::/20",     // documentation
)

// global are the IPv6 addresses that may be anybody's; all others are loopback,
// unique-local, link-local, multicast, mapped, translated or unassigned.
var global = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// guard says whom we may connect to (invariant 3).
type guard struct{ allowed []netip.Prefix }

// control is net.Dialer.Control: it sees the very address that is about to be
// connected to, so that no name can be one thing when it is checked and another
// when it is used.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: address %s cannot be read", errRefused, address)
	}
	if addr := to.Addr().Unmap().WithZone(""); !g.allows(addr) {
		return fmt.Errorf("%w: address %s is not public", errRefused, addr)
	}
	return nil
}

func (g guard) allows(addr netip.Addr) bool {
	within := func(p netip.Prefix) bool { return p.Contains(addr) }
	if slices.ContainsFunc(g.allowed, within) {
		return true
	}
	return (addr.Is4() || global.Contains(addr)) && !slices.ContainsFunc(notPublic, within)
}
