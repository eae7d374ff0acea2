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
		var ours, theirs [2]cost // plain, compressed
		for i, compressing := range []bool{false, true} {
			c, err := b.ours(b.common, d.name, compressing, nil)
			if err != nil {
				return err
			}
			ours[i] = c
			if b.strfry == "" {
				continue
			}
			if c, err = b.theirsInC(d.name, compressing); err != nil {
				return err
			}
			theirs[i] = c
		}
		fmt.Printf("bytes to one relay, --dir %s: relaymesh %s", d.name, both(ours))
		if b.strfry != "" {
			fmt.Printf("; strfry %s\n", both(theirs))
			b.goal("compressed bytes beside strfry, --dir "+d.name, float64(ours[1].bytes)/float64(theirs[1].bytes), 1.1)
		} else {
			fmt.Println()
			b.goal("bytes compressed beside plain, --dir "+d.name, float64(ours[1].bytes)/float64(ours[0].bytes), 0.6)
		}
		b.goal("peak memory when compressing, MiB, --dir "+d.name, float64(ours[1].peak)/(1<<20), 64)
	}
	return nil
}

// both describes the costs of a sync plain and compressed.
func both(c [2]cost) string {
	return fmt.Sprintf("%d KiB (%d MiB of memory), compressed %d (%d)", c[0].bytes>>10, c[0].peak>>20, c[1].bytes>>10, c[1].peak>>20)
}
