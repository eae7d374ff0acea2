package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// network is where the hosts are: namespaces on a bridge, or loopback addresses.
type network struct {
	isolated bool
	hosts    []*host
}

// host is a machine of the fleet, with an address of its own.
type host struct {
	name, ip string
	isolated bool
}

// newNetwork makes a network without hosts.
func newNetwork(ctx context.Context, isolated bool) (*network, error) {
	if !isolated {
		return &network{}, nil
	}
	return &network{isolated: true}, shell(
		ctx,
		"ip link set lo up",
		"ip link add br0 type bridge",
		"ip addr add 10.77.0.1/24 dev br0",
		"ip link set br0 up",
	)
}

// ip returns an address of the network; 1 is this program's.
func (n *network) ip(number int) string {
	if n.isolated {
		return fmt.Sprintf("10.77.0.%d", number)
	}
	return fmt.Sprintf("127.77.%d.%d", 1+os.Getpid()%250, number)
}

// add adds a host.
func (n *network) add(ctx context.Context, name string) (*host, error) {
	h := &host{name: name, ip: n.ip(len(n.hosts) + 2), isolated: n.isolated}
	n.hosts = append(n.hosts, h)
	if !n.isolated {
		return h, nil
	}
	return h, shell(
		ctx,
		"ip netns add "+name,
		"ip link add "+name+" type veth peer name eth0 netns "+name,
		"ip link set "+name+" master br0 up",
		"ip -n "+name+" link set lo up",
		"ip -n "+name+" addr add "+h.ip+"/24 dev eth0",
		"ip -n "+name+" link set eth0 up",
	)
}

// command is how a program is run on the host.
func (h *host) command(program string, args ...string) (string, []string) {
	if !h.isolated {
		return program, args
	}
	return "ip", append([]string{"netns", "exec", h.name, program}, args...)
}

// cut pulls the host's cable.
func (h *host) cut(ctx context.Context) error { return shell(ctx, "ip link set "+h.name+" down") }

// mend plugs it in again.
func (h *host) mend(ctx context.Context) error { return shell(ctx, "ip link set "+h.name+" up") }

// lose drops a part of the packets to and from the host.
func (h *host) lose(ctx context.Context, percent int) error {
	in := "ip netns exec " + h.name + " nft "
	rule := " numgen random mod 100 < " + strconv.Itoa(percent) + " drop"
	return shell(
		ctx,
		in+"add table inet chaos",
		in+"add chain inet chaos in { type filter hook input priority 0 ; }",
		in+"add chain inet chaos out { type filter hook output priority 0 ; }",
		in+"add rule inet chaos in iifname eth0"+rule,
		in+"add rule inet chaos out oifname eth0"+rule,
	)
}

// keep lets all packets through again.
func (h *host) keep(ctx context.Context) error {
	return shell(ctx, "ip netns exec "+h.name+" nft delete table inet chaos")
}

// shell runs commands without quotes, until one fails.
func shell(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		words := strings.Fields(command)
		if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return nil
}
