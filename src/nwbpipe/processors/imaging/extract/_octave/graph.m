function g = graph (adjacency)
% An undirected graph, for conncomp of this folder.
    g = struct ('adjacency', (adjacency | adjacency') != 0);
end
