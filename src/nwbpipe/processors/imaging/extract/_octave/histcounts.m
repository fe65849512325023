function [counts, edges] = histcounts (x, edges)
% How many elements lie between two edges each; the last one counts with its upper edge. A number asks for as many bins.
    x = double (x(:));
    if isscalar (edges)
        edges = linspace (min (x), max (x), edges + 1);
    end
    counts = histc (x, edges);
    counts = counts(:)';
    counts(end - 1) += counts(end);
    counts = counts(1:end - 1);
end
