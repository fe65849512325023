function [values, places] = mink (x, k)
% The k smallest elements of a vector, in order.
    [values, places] = sort (x);
    k = min (k, numel (x));
    values = values(1:k);
    places = places(1:k);
end
