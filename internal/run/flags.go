package run

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// OtherBuild reports whether a flag has no effect in this binary.
func OtherBuild(flag string) bool { return flag == "dag-dir" && !withDAGs }

// NATSAuthFlag reports whether a flag says who we are to a NATS server elsewhere, how we
// know it, or where it has its JetStream.
func NATSAuthFlag(flag string) bool {
	return slices.Contains([]string{"nats-creds", "nats-ca", "nats-cert", "nats-key", "nats-domain"}, flag)
}

// onlyFor are the stages that flags are for, by their name, prefix (with * at its end) or
// group; all others are for every stage.
var onlyFor = map[string][]string{
	"dht-*":          {contract.StageDHTWorker},
	"refresh-every":  {contract.StageDHTWorker},
	"resolve-every":  {contract.StageIngest, contract.StageDHTWorker},
	"p2p-*":          {contract.StageSyncWorker},
	"sync-every":     {contract.StageSyncWorker},
	"What is synced": {contract.StageSyncWorker, contract.StageIngest}, // ingest follows the same mentions
	"fetch-*":        {contract.StageFetcher},
	"dag-dir":        {contract.StageFetcher},
	"Policy":         {contract.StageIngest},
	"tail":           {contract.StageIngest},
}

// usedBy reports whether a stage makes use of a flag.
func usedBy(stage string, flag *kong.Flag) bool {
	for of, stages := range onlyFor {
		prefix, some := strings.CutSuffix(of, "*")
		if flag.Name == of || some && strings.HasPrefix(flag.Name, prefix) || flag.Group != nil && flag.Group.Key == of {
			return slices.Contains(stages, stage)
		}
	}
	return true
}
