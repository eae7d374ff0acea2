package natsd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/lines"
)

// RoleOperator is the role of those who may do everything.
const RoleOperator = "operator"

// ReadUsers reads who may connect: a line has the public nkey of a user (U…) and
// its role, which is [RoleOperator] or a name that [contract.Prefix.PermissionsOf] knows, in
// the pipeline of that prefix.
// What follows a # is a comment.
func ReadUsers(path string, prefix contract.Prefix) ([]*server.NkeyUser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var users []*server.NkeyUser
	for in := lines.NewReader(f, maxLine); ; {
		line, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		text, _, _ := strings.Cut(string(line.Text), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		user, err := readUser(fields, prefix)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, line.Number, err)
		}
		users = append(users, user)
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s: names no user", path)
	}
	return users, nil
}

// maxLine is as much of a line as is read: more is a comment.
const maxLine = 4096

// readUser never repeats the key: it may be the seed, put there by mistake.
func readUser(fields []string, prefix contract.Prefix) (*server.NkeyUser, error) {
	if len(fields) != 2 || !nkeys.IsValidPublicUserKey(fields[0]) {
		return nil, errors.New("want the public nkey of a user (U…, not its seed) and a role")
	}
	user := &server.NkeyUser{Nkey: fields[0]}
	if role := fields[1]; role != RoleOperator {
		p, ok := prefix.PermissionsOf(role)
		if !ok {
			return nil, fmt.Errorf("no role is named %.40q: want operator, relay, gateway, console, ingest, dhtworker, syncworker or fetcher", role)
		}
		user.Permissions, user.Account = Permissions(p), AccountOf(role)
	}
	return user, nil
}

// Permissions are p as the server knows them.
func Permissions(p contract.Permissions) *server.Permissions {
	out := &server.Permissions{Publish: allow(p.Publish), Subscribe: allow(p.Subscribe)}
	if p.Responses {
		out.Response = &server.ResponsePermission{
			MaxMsgs: server.DEFAULT_ALLOW_RESPONSE_MAX_MSGS, Expires: server.DEFAULT_ALLOW_RESPONSE_EXPIRATION,
		}
	}
	return out
}

// allow permits nothing but the subjects; to the server no subjects mean all.
func allow(subjects []string) *server.SubjectPermission {
	if len(subjects) == 0 {
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: subjects}
}

// checkListen refuses to let the world in unasked.
func (c Config) checkListen() error {
	if c.Listen == "" || c.Open || len(c.Users)+len(c.Nkeys) > 0 {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil //nolint:nilerr // options says what is wrong with it
	}
	if addr, err := netip.ParseAddr(host); host == "localhost" || err == nil && addr.IsLoopback() {
		return nil
	}
	return fmt.Errorf("NATS would let everyone who reaches %s do everything: listen on 127.0.0.1, or say who may connect (--nats-users), "+
		"or, where the network keeps others away, that it shall be open (--nats-open)", c.Listen)
}
