package main

import "fmt"

// direction is one of a sync, and whether it writes to the sides: 0 or 1.
type direction struct {
	name     string
	toA, toB int
}

var directions = []direction{{"none", 0, 0}, {"down", 1, 0}, {"up", 0, 1}, {"both", 1, 1}}

// wire prints the bytes of each direction on the link to one relay, plain and
// compressed, beside strfry's.
func (b *bench) wire() error {
	for _, d := range directions {
		var ours, theirs [2]int64 // plain, compressed
		for i, compressing := range []bool{false, true} {
			c, err := b.ours(b.common, d.name, compressing)
			if err != nil {
				return err
			}
			ours[i] = c.bytes
			if b.strfry == "" {
				continue
			}
			if c, err = b.theirsInC(d.name, compressing); err != nil {
				return err
			}
			theirs[i] = c.bytes
		}
		fmt.Printf("bytes to one relay, --dir %s: relaymesh %d KiB, compressed %d", d.name, ours[0]>>10, ours[1]>>10)
		if b.strfry != "" {
			fmt.Printf("; strfry %d KiB, compressed %d\n", theirs[0]>>10, theirs[1]>>10)
			b.goal("compressed bytes beside strfry, --dir "+d.name, float64(ours[1])/float64(theirs[1]), 1.1)
			continue
		}
		fmt.Println()
		b.goal("bytes compressed beside plain, --dir "+d.name, float64(ours[1])/float64(ours[0]), 0.6)
	}
	return nil
}
