package syncing

// maxLiveOfHost is how many live subscriptions a host has that has proved nothing.
const maxLiveOfHost = 2

// claim is a relay that is followed live, or is to be.
type claim struct {
	host   string // see [hosts.Of]
	proven bool
	weight float64 // of the evidence that authors write there
}

// admitLive decides whether a relay is followed live beside those that are, by
// relay key, of which there may be most. out is the key of the one that it takes
// the slot of; "" is none. Keys are free, so evidence counts among proven relays
// only. The others have up to three quarters of the slots, and a quarter while
// proven relays want them; one of these takes the slot of a host that has more.
func admitLive(held map[string]claim, key string, c claim, most int) (out string, ok bool) {
	if _, again := held[key]; again {
		return key, true // an older subscription with the same relay
	}
	hosts, others := map[string]int{}, 0
	for _, x := range held {
		if !x.proven {
			hosts[x.host]++
			others++
		}
	}
	free := len(held) < most
	if !c.proven {
		switch {
		case hosts[c.host] >= maxLiveOfHost:
			return "", false
		case free && others < most-most/4:
			return "", true
		}
		out = largest(held, hosts)
		return out, out != "" && hosts[held[out].host] > hosts[c.host]+1
	}
	switch {
	case free:
		return "", true
	case others > most/4:
		return largest(held, hosts), true
	}
	for k, x := range held {
		if x.proven && (out == "" || x.weight < held[out].weight) {
			out = k
		}
	}
	return out, out != "" && held[out].weight < c.weight
}

// largest is one of the relays whose host has the most slots without having proved
// anything, of these one with the least evidence; "" if there are none.
func largest(held map[string]claim, hosts map[string]int) (out string) {
	for k, x := range held {
		switch n, best := hosts[x.host], hosts[held[out].host]; {
		case x.proven:
		case out == "" || n > best || n == best && x.weight < held[out].weight:
			out = k
		}
	}
	return out
}
