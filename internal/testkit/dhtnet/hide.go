package dhtnet

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
)

// Hiders are nodes around infohashes that swallow announcements and name peers at which nobody listens, and each other.
type Hiders struct {
	Contacts []mainline.Contact

	conns []*net.UDPConn
}

// Hide starts so many hiders around each infohash on ports of 127.0.0.1, which share so many leading bits with it, of whole bytes.
func Hide(infohashes [][20]byte, each, bits int) (*Hiders, error) {
	h := &Hiders{}
	for _, infohash := range infohashes {
		for range each {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				return nil, errors.Join(err, h.Close())
			}
			id := infohash
			_, _ = rand.Read(id[bits/8:]) // never fails
			h.conns = append(h.conns, conn)
			h.Contacts = append(h.Contacts, mainline.Contact{ID: id, Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()})
		}
	}
	for i, conn := range h.conns {
		first := i / each * each
		go h.serve(conn, h.Contacts[i].ID, h.Contacts[first:first+each])
	}
	return h, nil
}

// Addrs are where they listen.
func (h *Hiders) Addrs() (list []netip.AddrPort) {
	for _, c := range h.Contacts {
		list = append(list, c.Addr)
	}
	return list
}

// Close ends them.
func (h *Hiders) Close() (err error) {
	for _, conn := range h.conns {
		err = errors.Join(err, conn.Close())
	}
	return err
}

func (h *Hiders) serve(conn *net.UDPConn, id [20]byte, others []mainline.Contact) {
	for buf := make([]byte, 2048); ; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		at := transaction.FindSubmatchIndex(buf[:n])
		if at == nil {
			continue
		}
		query := string(buf[:n])
		var length int
		_, _ = fmt.Sscan(query[at[2]:at[3]], &length) // they are digits
		if len(query) < at[1]+length {
			continue
		}
		nodes := mainline.AppendCompact(nil, others)
		values := ""
		if strings.Contains(query, "9:get_peers") {
			values = "6:values" + peersOfNobody()
		}
		reply := fmt.Sprintf("d1:rd2:id20:%s5:nodes%d:%s5:token1:t%se1:t%d:%s1:y1:re", id[:], len(nodes), nodes, values, length,
			query[at[1]:at[1]+length])
		_, _ = conn.WriteToUDPAddrPort([]byte(reply), from) // a packet may be lost
	}
}

// peersOfNobody are as many addresses as fit into an answer, others each time, at whose first port nobody listens.
func peersOfNobody() string {
	var b strings.Builder
	for range 100 {
		var random [3]byte
		_, _ = rand.Read(random[:])
		peer := append([]byte{127}, random[:]...)
		peer = binary.BigEndian.AppendUint16(peer, 1)
		b.WriteString("6:" + string(peer))
	}
	return "l" + b.String() + "e"
}
