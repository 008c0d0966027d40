package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestManifestsThatThisProgramCannotRunAreTold(t *testing.T) {
	for manifest, words := range map[string]string{
		`{"format_version": 1, "signature": {"inputs": {}}}`: "expected manifest format 2, got 1; export and scaffold",
	} {
		path := filepath.Join(t.TempDir(), "manifest.json")
		if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSignature(path); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("expected %q, got %v", words, err)
		}
	}
}
