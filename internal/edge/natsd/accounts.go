package natsd

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// AccountOf is the account of a role, for a user in [Config]: feeders have one of
// their own, and nil is that of the pipeline.
func AccountOf(role string) *server.Account {
	if role != contract.RoleRelay && role != contract.RoleGateway {
		return nil
	}
	return server.NewAccount(contract.AccountFeeders) // the server goes by the name
}

// accounts are those of the pipeline and of the feeders, if a user is one. The
// pipeline keeps the account that a server without any accounts has: its name is
// that of the directory where the streams are.
func (c Config) accounts() ([]*server.Account, error) {
	apart := false
	for _, u := range c.Users {
		apart = apart || u.Account != nil
	}
	for _, u := range c.Nkeys {
		apart = apart || u.Account != nil
	}
	if !apart {
		return nil, nil
	}
	// Only a server's configuration can say so before the server takes
	// connections, and it must not name an account "$G".
	var parsed server.Options
	if err := parsed.ProcessConfigString("accounts { PIPELINE { jetstream: enabled } }"); err != nil {
		return nil, fmt.Errorf("accounts of the NATS server: %w", err)
	}
	pipeline, feeders := parsed.Accounts[0], server.NewAccount(contract.AccountFeeders)
	pipeline.Name = server.DEFAULT_GLOBAL_ACCOUNT
	var errs []error
	services, streams := c.Prefix.Exported()
	for _, subject := range services {
		errs = append(errs, pipeline.AddServiceExport(subject, []*server.Account{feeders}), feeders.AddServiceImport(pipeline, subject, subject))
	}
	for _, subject := range streams {
		errs = append(errs, pipeline.AddStreamExport(subject, []*server.Account{feeders}), feeders.AddStreamImport(pipeline, subject, ""))
	}
	return []*server.Account{pipeline, feeders}, errors.Join(errs...)
}
