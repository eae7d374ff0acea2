package negentropy

import "bytes"

// nestedMax is the number of comparisons up to which looking through a list
// beats building a table of it.
const nestedMax = 1 << 10

// difference compares two packed id lists as sets and calls onlyA for each id
// that b lacks and onlyB for each that a lacks, once; either may be nil. The
// lists usually come in the same order and nearly agree, so what they share at
// both ends is passed over first, at one comparison each.
type difference struct {
	table map[ID]struct{} // scratch for long lists that differ much
}

func (d *difference) report(a, b []byte, onlyA, onlyB func(ID)) {
	restA, restB := trim(a, b)
	d.missing(restA, b, onlyA)
	d.missing(restB, a, onlyB)
}

// missing calls found for each id of list that is not in other.
func (d *difference) missing(list, other []byte, found func(ID)) {
	if found == nil || len(list) == 0 {
		return
	}
	if n := len(list) / idSize; n*(n+len(other)/idSize) > nestedMax {
		d.missingByTable(list, other, found)
		return
	}
	for i := 0; i < len(list); i += idSize {
		id := list[i : i+idSize]
		if !contains(other, id) && !contains(list[:i], id) {
			found(ID(id))
		}
	}
}

func (d *difference) missingByTable(list, other []byte, found func(ID)) {
	if d.table == nil {
		d.table = make(map[ID]struct{}, (len(list)+len(other))/idSize)
	}
	clear(d.table)
	for i := 0; i < len(other); i += idSize {
		d.table[ID(other[i:i+idSize])] = struct{}{}
	}
	for i := 0; i < len(list); i += idSize {
		id := ID(list[i : i+idSize])
		if _, ok := d.table[id]; !ok {
			d.table[id] = struct{}{} // reported: a repetition is not another difference
			found(id)
		}
	}
}

func contains(list, id []byte) bool {
	for i := 0; i < len(list); i += idSize {
		if bytes.Equal(list[i:i+idSize], id) {
			return true
		}
	}
	return false
}

// trim cuts off the ids that both lists share at their start and at their end.
func trim(a, b []byte) (restA, restB []byte) {
	for len(a) > 0 && len(b) > 0 && bytes.Equal(a[:idSize], b[:idSize]) {
		a, b = a[idSize:], b[idSize:]
	}
	for len(a) > 0 && len(b) > 0 && bytes.Equal(a[len(a)-idSize:], b[len(b)-idSize:]) {
		a, b = a[:len(a)-idSize], b[:len(b)-idSize]
	}
	return a, b
}
