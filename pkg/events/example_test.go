package events_test

import (
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A relay tells the pipeline of a note that it lacks.
func Example() {
	missing, err := events.NoteMissing{
		EventID: "5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36",
		Relays:  []string{"WSS://Relay.Example.com:443/"},
	}.Validate(false)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s\n", events.SubjectNoteMissing, nostr.Encode(missing)) // or nc.Publish of NATS
	// Output:
	// note.missing {"event_id":"5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36","relays":["wss://relay.example.com"]}
}

// A relay in the middle of a REQ asks the fetch service, and gets the note or
// the reason why not.
func ExampleMissingNoteRequest() {
	note := events.NoteMissing{EventID: "5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36"}
	request := events.MissingNoteRequest{NoteMissing: note, TimeoutMS: 2000}
	fmt.Printf("%s %s\n", events.ServiceNoteFetch, nostr.Encode(request)) // or nc.Request of NATS

	reply, err := nostr.Decode[events.MissingNoteResponse]([]byte(`{"event":null,"found":false,"why":"none of 3 relays has it"}`))
	fmt.Println(reply.Found, reply.Why, err)
	// Output:
	// relaymesh.note.fetch {"event_id":"5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36","timeout_ms":2000}
	// false none of 3 relays has it <nil>
}

// Errors name the field.
func ExampleNoteMissing_Validate() {
	_, err := events.NoteMissing{EventID: "5C83"}.Validate(false)
	fmt.Println(err)
	_, err = events.NoteMissing{}.Validate(false)
	fmt.Println(err)
	// Output:
	// event_id: want 64 lower-case hex digits
	// event_id: missing, and there is no address either
}

// A note that is addressed rather than named has a key, too: the last token of
// its keyed subject.
func ExampleNoteMissing_Key() {
	article := events.NoteMissing{Address: "30023:3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d:intro"}
	fmt.Println(len(article.Key()), string(nostr.Encode(article.Filter())))
	// Output:
	// 64 {"#d":["intro"],"authors":["3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"],"kinds":[30023],"limit":1}
}
