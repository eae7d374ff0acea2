// Package reconcile makes two relays hold the same events of a filter, or one of
// them what the other holds, without a set of its own: the relays reconcile
// through a [negentropy.Bridge].
//
// # What it promises
//
// A result that says Complete has been proved by a last pass, after the last
// event was transferred: the relays differ in nothing but what Result.Refusals
// names with the reasons. Up to then an event may be offered twice, never less
// than once. An event counts as transferred when the relay that it is written to
// has said OK.
//
// If little was transferred, the last pass asks both relays in new sessions for
// exactly the ids that were written to them, and for those that the other one
// refused, or could not be given: all else has just been found equal, and a relay
// that reads a million events for a session is spared a second one. A refused
// event that its relay lists no more differs no more: a deletion or a newer
// version came with the transfers. That proves both relays as they were when the
// comparison began. Otherwise they are compared as a whole once more, and again
// until nothing new is found. From the third comparison on, what is dated after
// the start of the sync is left out, so that two busy relays can be proved, too.
// Either way, what arrives during a sync may be transferred, and is not proved.
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
// for it. A window that a relay finds too large is cut in two. What a listed
// relay delivers and cannot be read is compared by the id that it claims, and is
// among Result.Refusals even where both sides list that id.
//
// To find such relays, the old end of a window is compared anew as a window of
// its own, whenever anything was transferred: there, a relay that shows only the
// newest part shows the next part. The cut is the floor of the comparison
// ([negentropy.Bridge.Floor]); where all is compared again, it is behind the
// oldest event that was read.
//
// # What is not believed
//
// Sessions, REQs and OKs of a relay may contradict each other. Some events of a
// batch are asked for before they are written, and some of what was said OK to
// afterwards; once all is proved, a few events of a random time that one side
// delivers are asked of the other. A side that contradicts itself is listed from then
// on, or written to no more, and Result.Doubts says so.
//
// # Memory
//
// What is held depends on the queues (thousands of ids), on the events in
// flight (at most 8 MiB per worker), on what was refused (about 40 bytes each, up to
// 500,000 for each side), and on what cannot be read (an id and a sentence each, up to
// 10,000 in a window for each side; beyond that a sync is not complete), not on the
// sets or on the difference. A listed relay costs 44 bytes an event of its window,
// 200,000 events at most in most cases.
package reconcile
