package run

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	listPath = "/list/"
	// pageWait is how long a page waits for a list that is looked up elsewhere.
	pageWait = 2 * time.Second
	// A list may be kept for so long by caches, and that there is none.
	cacheFound, cacheAbsent = "public, max-age=300", "public, max-age=30"
)

// listed is the JSON of a list's page; its fields are stable. Why is set if there is no list.
type listed struct {
	PubKey    string          `json:"pubkey,omitempty"`
	CreatedAt int64           `json:"created_at,omitempty"`
	Write     []string        `json:"write,omitempty"` // relays where the author writes
	Read      []string        `json:"read,omitempty"`  // relays where the author reads
	Event     json.RawMessage `json:"event,omitempty"` // kind 10002 as signed
	Why       string          `json:"error,omitempty"`
}

// page answers GET /list/ and a key, for what speaks no websocket.
func (i *listIndex) page(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Headers", "*")
	h.Set("Access-Control-Expose-Headers", "ETag, Retry-After")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	who, isList := strings.CutPrefix(req.URL.Path, listPath)
	pubkey, err := schnorr.ParsePublicKey(who)
	switch {
	case req.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		answerList(w, http.StatusMethodNotAllowed, listed{Why: "only GET is answered here"})
	case !isList:
		answerList(w, http.StatusNotFound, listed{Why: errNoNpub.Error()})
	case err != nil:
		answerList(w, http.StatusBadRequest, listed{Why: errNoNpub.Error() + ": " + err.Error()})
	default:
		i.listPage(w, req, pubkey)
	}
}

func (i *listIndex) listPage(w http.ResponseWriter, req *http.Request, pubkey string) {
	address := nostr.Address{Kind: nostr.KindRelayList, PubKey: pubkey}
	complete := true
	lacks, err := i.relay.Lacks(address)
	if err == nil && lacks && req.Header.Get("Relaymesh-Hop") == "" {
		ctx, cancel := context.WithTimeout(req.Context(), pageWait)
		complete = i.lookUp.Lacking(ctx, []nostr.Address{address})
		cancel()
	}
	var found [][]byte
	if err == nil {
		found, err = i.relay.Newest(req.Context(), address.Filter())
	}
	h := w.Header()
	switch {
	case err != nil, len(found) == 0 && !complete:
		h.Set("Retry-After", "5")
		answerList(w, http.StatusServiceUnavailable, listed{PubKey: pubkey, Why: "the list could not be looked up in time"})
	case len(found) == 0:
		h.Set("Cache-Control", cacheAbsent)
		why := "no list index that was asked has a relay list of this key"
		if !lacks {
			why = "the author has deleted the list"
		}
		answerList(w, http.StatusNotFound, listed{PubKey: pubkey, Why: why})
	default:
		e, _ := nostr.ParseEvent(found[0]) // it was parsed when it was stored
		h.Set("Cache-Control", cacheFound)
		h.Set("ETag", `"`+e.ID+`"`)
		if strings.Contains(req.Header.Get("If-None-Match"), e.ID) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		list, _ := stage.ReadRelayTags(&e, i.Config.AllowPrivate) // with an error comes an empty list, which it is
		answerList(w, http.StatusOK, listed{PubKey: pubkey, CreatedAt: e.CreatedAt, Write: list.Write, Read: list.Read, Event: found[0]})
	}
}

func answerList(w http.ResponseWriter, status int, list listed) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(nostr.Encode(list), '\n')) // who left needs no answer
}
