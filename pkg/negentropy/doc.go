// Package negentropy reconciles two sets over a network: it finds what each side
// lacks, with messages whose size depends on the difference and not on the sets.
// It speaks negentropy protocol v1 (NIP-77, appendix), does no I/O, starts no
// goroutine and logs nothing: bytes in, bytes and ids out.
//
//   - [Reconciler] is one side of a session, initiator or responder.
//   - [Vector] is a sealed set, [Tree] a live one; [Range] shows a part of either.
//   - [Bridge] reconciles two responders with each other, without a set of its own.
//
// # A round trip
//
// Items are ordered by timestamp, then id. A message covers that order from the
// first item to the last with ranges, and says one thing of each: skip (settled),
// a fingerprint of what the sender holds there, or the ids themselves. Whoever
// disagrees with a fingerprint answers by splitting the range in 16, or, when it
// holds fewer than 32 items there, by listing them. Below, the initiator holds
// 1,000 items, and the responder the same but one:
//
//	initiator                                     responder
//	  fingerprint of each 16th, 62 items  ──────▶
//	  |aa|bb|cc|dd| ... |pp|                      one of them disagrees: split it
//	                                      ◀──────  skip |c1|c2| ... |c16| (skip)
//	  one of the 16 disagrees,
//	  with 4 items in it: list them
//	  skip |id id id id| (skip)           ──────▶
//	                                              list its own
//	                                      ◀──────  skip |id id id| (skip)
//	  one more here than there:
//	  reported to Have; all is settled
//
// A fingerprint is 16 bytes of SHA-256 over the sum of the ids, taken as numbers
// mod 2^256, and their count. Sums can be subtracted, so a store that keeps prefix
// sums answers for any range at the cost of one hash. It also means that ids must
// be hashes: of ids chosen at will, different sets with the same sum are easily made.
//
// # Frame limits, and a loss in other implementations
//
// A side may limit the size of its messages. When a message is full, it ends with
// one fingerprint for all that is left, up to infinity, and the rest is settled in
// later messages. The reference implementation and its ports go wrong here. If the
// split of a range does not fit any more, they drop it, but let the closing
// fingerprint cover only what comes after that range, although on the wire it
// stands for the range too. The other side usually disagrees, and nothing is lost.
// But if the range is the last one, and the other side holds nothing in it (one
// side has the newest events alone), the fingerprint is that of nothing, and both
// agree: the sync ends as complete, and the differences in the range are never
// reported. testdata holds two sets of 5,100 and 5,267 items of which frame
// limits of 61,172 and 65,640 lose 29.
//
// Here the closing fingerprint covers exactly what was not sent, and a skip that
// was due before it is sent first. Both are valid for every peer, and messages
// that do not overflow are the reference's byte for byte. An initiator goes further: a
// full message ends with the rest in parts, and what a cut answer has not come to is
// asked again, so that both directions stay full. Each side can repair
// only what it says itself: a session with a peer that has the fault may still
// lose what the peer drops. A [Bridge] cannot: it never believes a closing
// fingerprint, and asks again for what was not answered.
//
// # Bridge
//
// A responder answers a fingerprint that it disagrees with by a split, and a list
// by its own list. So what one relay answers is a valid question for another, and
// passing answers on between two relays reconciles them:
//
//	relay A                  Bridge                      relay B
//	  ◀───── what have you? ──┤
//	  ───── 16 fingerprints ─▶├── 16 fingerprints ──────▶
//	                          │◀─ 3 differ, here: lists ──
//	  ◀──────────── 3 lists ──┤
//	  ───────────── 3 lists ─▶│   both sides' complete contents
//	                          ▼   of 3 ranges: OnlyA, OnlyB
//
// Ranges are independent questions, so they wait in a queue per peer, and a
// message takes as many as the peer accepts and is likely to answer. The deepest
// go first, so the queues stay short: what a bridge holds is a few messages,
// whatever the sets and the difference. Its report is checked, not believed: a
// pass without differences is the proof that both relays hold the same.
//
// # Limits
//
//	what                         limit                       where
//	timestamp                    below 2^64-1 (reserved)     dropped by stores
//	id, id prefix                32 bytes                    ErrMalformed
//	number                       64 bits, 10 bytes           ErrMalformed
//	ids in a list                what the message holds      ErrMalformed
//	order of bounds              never backwards             ErrMalformed
//	message made                 FrameLimit, from 4,096      Options
//	messages, ranges, ids taken  none unless set             Options: ErrLimit
//	message of a bridge          60,000 bytes unless set     SideOptions
//	ranges answered per asked    64 (honest: 17)             Bridge: ErrLimit
//	answers without an answer    4 in a row                  Bridge: ErrNoProgress
//	splits of one range          128 (honest: 24 for 2^40)   Bridge: ErrNoProgress
//	messages, differences        none unless set             BridgeOptions: ErrLimit
//	memory of a Vector           44 bytes per item
//	memory of a Tree             46 bytes per item as made, about 70 after inserts
//	memory of a Bridge           half a megabyte, made at once, whatever the sets
//
// Nothing is allocated by a length that a message claims, and no input panics.
package negentropy
