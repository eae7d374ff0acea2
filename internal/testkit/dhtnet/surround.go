package dhtnet

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// Sybils are nodes around an item's target that hold the item and know each other, and answer one address only.
type Sybils struct {
	Contacts []mainline.Contact

	item  bep44.Item
	only  netip.Addr
	conns []*net.UDPConn
}

// Surround starts so many sybils on ports of 127.0.0.1, which share so many leading bits with the target, of whole bytes.
func Surround(item bep44.Item, count, bits int, only netip.Addr) (*Sybils, error) {
	s := &Sybils{item: item, only: only}
	for range count {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		id := item.Target()
		_, _ = rand.Read(id[bits/8:]) // never fails
		s.conns = append(s.conns, conn)
		s.Contacts = append(s.Contacts, mainline.Contact{ID: id, Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()})
	}
	for i, conn := range s.conns {
		go s.serve(conn, s.Contacts[i].ID)
	}
	return s, nil
}

// Close ends them.
func (s *Sybils) Close() (err error) {
	for _, conn := range s.conns {
		err = errors.Join(err, conn.Close())
	}
	return err
}

// transaction finds the transaction id of a query, behind its length.
var transaction = regexp.MustCompile(`1:t(\d+):`)

func (s *Sybils) serve(conn *net.UDPConn, id [20]byte) {
	for buf := make([]byte, 2048); ; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if at := transaction.FindSubmatchIndex(buf[:n]); at != nil && from.Addr().Unmap() == s.only {
			_, _ = conn.WriteToUDPAddrPort([]byte(s.answer(string(buf[:n]), at, id, from)), from) // a packet may be lost
		}
	}
}

// answer gives the item to who asks for it, and the other sybils to all.
func (s *Sybils) answer(query string, at []int, id [20]byte, from netip.AddrPort) string {
	var length int
	_, _ = fmt.Sscan(query[at[2]:at[3]], &length) // they are digits
	target, nodes := s.item.Target(), mainline.AppendCompact(nil, s.Contacts[:min(16, len(s.Contacts))])
	held := fmt.Sprintf("5:nodes%d:%s5:token1:t", len(nodes), nodes)
	if strings.Contains(query, string(target[:])) && strings.Contains(query, "3:get") {
		held = fmt.Sprintf("1:k32:%s5:nodes%d:%s3:seqi%de3:sig64:%s5:token1:t1:v%s", s.item.Key[:], len(nodes), nodes, s.item.Seq, s.item.Sig[:],
			s.item.Value)
	}
	seen := mainline.AppendCompact(nil, []mainline.Contact{{Addr: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}})[20:]
	return fmt.Sprintf("d2:ip6:%s1:rd2:id20:%s%se1:t%d:%s1:y1:re", seen, id[:], held, length, query[at[1]:at[1]+length])
}
