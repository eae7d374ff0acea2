package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// leastVersion is the first version of nats-server that fires recurring schedules.
// Earlier ones know none, or only those that fire once.
const leastVersion = "nats-server 2.14"

// checkServer says why the contract cannot be set up on a server, before anything is
// made there.
func checkServer(ctx context.Context, js jetstream.JetStream) error {
	version := js.Conn().ConnectedServerVersion()
	if !atLeast(version, 2, 14) {
		return fmt.Errorf("NATS server %s: %s or newer is needed, for recurring schedules", version, leastVersion)
	}
	account, err := js.AccountInfo(ctx)
	if err != nil {
		return nil //nolint:nilerr // what comes next fails, too, and tells more
	}
	for what, limit := range map[string][2]int{
		"streams":   {account.Limits.MaxStreams, len(contract.Streams()) + len(contract.Buckets())},
		"consumers": {account.Limits.MaxConsumers, len(contract.Consumers())},
	} {
		if limit[0] > 0 && limit[0] < limit[1] {
			return fmt.Errorf("the NATS account may have %d %s: %d are needed", limit[0], what, limit[1])
		}
	}
	if account.Limits.MaxBytesRequired {
		return errors.New("the NATS account wants a bound of bytes for every stream (max_bytes_required), and some of ours hold knowledge " +
			"that must not be bounded: turn that off for this account")
	}
	return nil
}

// atLeast reports whether a version is that one or newer; one that cannot be read
// is, since whoever builds a server knows what it is.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	have, err := strconv.Atoi(parts[0])
	if err != nil || have != major {
		return err != nil || have > major
	}
	have, err = strconv.Atoi(parts[1])
	return err != nil || have >= minor
}
