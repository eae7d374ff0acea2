// Package pair makes two relays hold the same events of a filter, or one of
// them what the other holds, without a set of its own: the relays reconcile
// through a [negentropy.Bridge].
//
// # What it promises
//
// A result that says Complete has been proved: after the last event was
// transferred, both relays were compared once more, in new sessions, and
// differed in nothing but what Result.Refusals names with the reasons. Up to
// then an event may be offered twice, never less than once. An event counts as
// transferred when the relay that it is written to has said OK.
//
// From the third pass on, the comparison leaves out what is dated after the
// start of the sync, so that two busy relays can be proved, too: what they
// receive meanwhile is transferred, but not proved.
//
// # How it works
//
// A pass compares one window of time. Ids that only one side has go into the
// queue of their direction, from where a few workers read the events in REQs
// of up to 100 ids and write them to the other side, while the comparison goes
// on:
//
//	A  ◀── NEG ──▶  Bridge  ◀── NEG ──▶  B
//	│             │        │             │
//	│        ids only A  ids only B      │
//	│             ▼        ▼             │
//	├── REQ ──▶ worker   worker ◀── REQ ─┤
//	│             │        │             │
//	◀── EVENT, OK ┼────────┘             │
//	              └──────── EVENT, OK ───▶
//
// When a queue is full, the comparison pauses until the writers have caught
// up. A relay may drop its session meanwhile (khatru does after 7 s). It is
// opened again with the very message that was not answered: the questions of a
// bridge are independent ranges, so nothing is lost.
//
// A relay without NIP-77, and one that turns out to show only the newest part
// of its set, is listed by paged REQs, window by window, and the bridge answers
// for it. A window that a relay finds too large is cut in two. So is one of
// which much was read, behind the oldest event of that: should a relay have
// shown the newest part of its set only, it now shows the next part.
//
// # Memory
//
// What is held depends on the queues (thousands of ids), on the events in
// flight (at most 8 MiB per worker), and on what was refused (about 40 bytes
// each), not on the sets or on the difference. A listed relay costs 72 bytes an
// event of its window, 200,000 events at most in most cases.
package pair
