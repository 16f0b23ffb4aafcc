"""Knowledge graphs: four Arrow tables per source, and the built, memory-mapped form that matching works on."""
