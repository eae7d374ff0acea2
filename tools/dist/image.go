package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nobody runs the binary; the number that distroless images use, too. A new
// volume at dataDir is nobody's, since engines take its owner from the image.
const (
	nobody  = 65532
	dataDir = "var/lib/relaymesh"
)

// image writes an archive with one image for all architectures, and returns its
// digest. Each holds a static binary, the licences of what is linked into it, and
// an empty directory for data: no shell, no packages. A binary's file is
// DIR/linux-ARCH/NAME, the reference HOST/NAME:TAG.
func image(archive, reference, licences string, binaries []string) (v1.Hash, error) {
	tag, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return v1.Hash{}, err
	}
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var manifest tarball.Manifest
	for i, path := range binaries {
		arch := strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "linux-")
		one, err := imageOf(tag.TagStr(), path, arch, licences)
		if err != nil {
			return v1.Hash{}, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
		named := reference
		if i > 0 {
			named += "-" + arch
		}
		entry, err := legacy(one, named)
		if err != nil {
			return v1.Hash{}, err
		}
		manifest = append(manifest, entry)
	}
	if err := writeArchive(archive, reference, index, manifest); err != nil {
		return v1.Hash{}, fmt.Errorf("write %s: %w", archive, err)
	}
	return index.Digest()
}

// legacy describes an image to Docker engines that know no OCI layout (those
// without the containerd image store). They know no architectures, either, and
// give each name to one image.
func legacy(one v1.Image, named string) (d tarball.Descriptor, err error) {
	manifest, err := one.Manifest()
	if err != nil {
		return d, err
	}
	blob := func(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }
	d.Config, d.RepoTags = blob(manifest.Config.Digest), []string{named}
	for _, l := range manifest.Layers {
		d.Layers = append(d.Layers, blob(l.Digest))
	}
	return d, nil
}

func imageOf(version, path, arch, licences string) (v1.Image, error) {
	title := filepath.Base(path)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := addFile(w, path, "usr/bin/"+title, 0o555); err != nil {
		return nil, err
	}
	if err := addFile(w, licences, "usr/share/doc/relaymesh/"+filepath.Base(licences), 0o444); err != nil {
		return nil, err
	}
	if err := w.WriteHeader(&tar.Header{Name: dataDir + "/", Mode: 0o700, Uid: nobody, Gid: nobody, Typeflag: tar.TypeDir}); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	with, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	config, err := with.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config.Entrypoint = []string{"/usr/bin/" + title}
	config.Config.User = fmt.Sprintf("%d:%d", nobody, nobody)
	config.Config.Env = []string{"RELAYMESH_DATA=/" + dataDir}
	config.Config.Labels = map[string]string{
		"org.opencontainers.image.title":    title,
		"org.opencontainers.image.version":  version,
		"org.opencontainers.image.source":   "https://github.com/relaymesh/relaymesh",
		"org.opencontainers.image.licenses": "MIT",
	}
	return mutate.ConfigFile(with, config)
}
